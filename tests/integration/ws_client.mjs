// ws_client: what the clients that run in Node share: the command line, a proxy that counts, the report.
//
//     node ws_client_<which>.mjs ws[s]://HOST:PORT MODE LIMIT PID       // of a running examples/ws_echo
import {connect, createServer} from 'node:net';

const [url, mode, limit, pid] = process.argv.slice(2);
let failures = 0;

export const server = {
    url,
    mode,  // its --deflate
    limit: Number(limit),
    terminate: () => { process.kill(Number(pid), 'SIGTERM'); },
};

export function reporter(client) {
    return (name, error) => {
        if (error !== undefined) ++failures;
        console.log(`${error === undefined ? 'ok' : 'FAILED'}: ${client}, --deflate ${mode}: ${name}` +
                    `${error === undefined ? '' : `: ${error}`}`);
    };
}

export function finish() {
    process.exit(failures === 0 ? 0 : 1);
}

// In front of the server: `url`, and counted(), which gives the bytes that passed since its last call.
export async function countingProxy() {
    const {hostname, port} = new URL(url);
    const counts = {toServer: 0, toClient: 0};
    const proxy = createServer({allowHalfOpen: true}, (client) => {
        const upstream = connect({host: hostname, port: Number(port), allowHalfOpen: true});
        client.on('data', (bytes) => { counts.toServer += bytes.length; });
        upstream.on('data', (bytes) => { counts.toClient += bytes.length; });
        client.pipe(upstream).pipe(client);
        client.on('error', () => upstream.destroy());
        upstream.on('error', () => client.destroy());
    });
    await new Promise((resolve) => proxy.listen(0, '127.0.0.1', resolve));
    return {
        countedUrl: `${new URL(url).protocol}//127.0.0.1:${proxy.address().port}`,
        counted() {
            const result = {...counts};
            counts.toServer = counts.toClient = 0;
            return result;
        },
    };
}

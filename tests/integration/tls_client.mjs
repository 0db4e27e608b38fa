// Node's https as a client of examples/http_server, which asks for client certificates:
//   node tls_client.mjs https://HOST:PORT DIRECTORY       // of the certificates that tls.sh makes
import assert from 'node:assert/strict';
import {randomBytes} from 'node:crypto';
import {readFileSync} from 'node:fs';
import https from 'node:https';
import {join} from 'node:path';

const [url, pki] = process.argv.slice(2);
const read = (name) => readFileSync(join(pki, name));
const ca = read('ca.pem');
const kDeadline = 30_000;

// Promise of {status, body, socket}.
function ask(path, options = {}, body = undefined) {
    return new Promise((resolve, reject) => {
        const request = https.request(`${url}${path}`, {ca, ...options}, (response) => {
            const pieces = [];
            response.on('data', (piece) => pieces.push(piece));
            response.on('end', () => {
                resolve({status: response.statusCode, body: Buffer.concat(pieces), socket: request.socket});
            });
        });
        request.setTimeout(kDeadline, () => request.destroy(new Error('too late')));
        request.on('error', reject);
        request.end(body);
    });
}

const shown = async (options) => JSON.parse((await ask('/tls', options)).body);

async function keepAlive(version) {
    const agent = new https.Agent({keepAlive: true, maxSockets: 1});
    const sockets = new Set();
    for (let i = 0; i < 100; ++i) {
        const {body, socket} = await ask('/text', {agent, ...version});
        assert.equal(body.toString(), 'Hello, World!');
        sockets.add(socket);
    }
    assert.equal(sockets.size, 1);
    agent.destroy();
}

async function manyAtOnce(version) {
    const agent = new https.Agent({keepAlive: true, maxSockets: 20});
    const answers = await Promise.all(Array.from({length: 200}, (_, i) => ask(`/hello/${i}`, {agent, ...version})));
    answers.forEach(({body}, i) => assert.equal(body.toString(), `Hello, ${i}!\n`));
    agent.destroy();
}

async function bodiesOfEverySize(version) {
    for (const size of [1, 16383, 16384, 16385, 65536, 300_000, 5_000_000]) {
        const sent = randomBytes(size);
        const {body} = await ask('/echo', {method: 'POST', ...version}, sent);
        assert.ok(body.equals(sent), `${size} bytes`);
    }
}

async function agreed(version) {
    const info = await shown({agent: false, ALPNProtocols: ['http/1.1'], ...version});
    assert.equal(info.version, version.minVersion);
    assert.equal(info.protocol, 'http/1.1');
    assert.equal(info.serverName, '');
}

// The agent keeps the newest session, and closes each connection.
async function resumption(version) {
    const agent = new https.Agent({keepAlive: false});
    assert.equal((await shown({agent, ...version})).isResumed, false);
    for (let i = 0; i < 3; ++i) assert.equal((await shown({agent, ...version})).isResumed, true, `the ${i + 1}.`);
}

async function clientCertificate(version) {
    const alice = {agent: false, cert: read('client.pem'), key: read('client.key'), ...version};
    assert.equal((await shown(alice)).peer.subject, 'O=Example,CN=alice');
    assert.equal((await shown({agent: false, ...version})).peer, undefined);
    await assert.rejects(shown({...alice, cert: read('wrong.pem'), key: read('wrong.key')}));
}

async function whoIsBelieved(version) {
    await assert.rejects(ask('/text', {agent: false, ca: read('stranger.pem'), ...version}),
                         {code: /UNABLE_TO_VERIFY_LEAF_SIGNATURE|UNABLE_TO_GET_ISSUER_CERT_LOCALLY/});
    await assert.rejects(ask('/text', {agent: false, servername: 'a.example', ...version}),
                         {code: 'ERR_TLS_CERT_ALTNAME_INVALID'});
}

for (const test of [keepAlive, manyAtOnce, bodiesOfEverySize, agreed, resumption, clientCertificate, whoIsBelieved]) {
    for (const name of ['TLSv1.2', 'TLSv1.3']) {
        const title = `Node ${process.version}, ${name}: ${test.name}`;
        try {
            await test({minVersion: name, maxVersion: name});
            console.log(`ok: ${title}`);
        } catch (error) {
            process.exitCode = 1;
            console.log(`FAILED: ${title}: ${error.message}`);
        }
    }
}

// ws_checks: what a client with the browser's WebSocket interface sees of examples/ws_echo. Chromium, Node and
// npm's ws all have it; this file runs in Node and, as a module, in a page.
//
//     for (const [name, check] of echoChecks(context)) ...      // and endChecks; drainCheck ends the server
//
// The context of a client:
//     open(url)      a new WebSocket
//     url            ws[s]://HOST:PORT of the server
//     countedUrl     the same through the counting proxy of ws_client.mjs
//     counted()      a promise of {toServer, toClient}: bytes through the proxy since the last call
//     limit          the server's --max-message
//     deflates       whether permessage-deflate has to be agreed on
//     clientDeflates whether the client compresses what it sends then; Node's own does not
//     terminate()    sends the server SIGTERM

const kDeadlineMs = 30_000;

export function within(promise, what, deadlineMs = kDeadlineMs) {
    let timer;
    const late = new Promise((_, reject) => {
        timer = setTimeout(() => reject(new Error(`${what}: not within ${deadlineMs} ms`)), deadlineMs);
    });
    return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

export function expectEqual(what, wanted, got) {
    if (wanted !== got) throw new Error(`${what}: wanted «${wanted}», got «${got}»`);
}

// One WebSocket, its messages in order.
export class Peer {
    #messages = [];
    #waiting = [];
    #isOver = false;

    constructor(socket) {
        this.socket = socket;
        socket.binaryType = 'arraybuffer';
        // Promise of {code, reason, wasClean}.
        this.closed = new Promise((resolve) => {
            socket.addEventListener('close', ({code, reason, wasClean}) => {
                this.#isOver = true;
                for (const {reject} of this.#waiting) reject(new Error(`closed with ${code} «${reason}»`));
                resolve({code, reason, wasClean});
            });
        });
        this.opened = new Promise((resolve, reject) => {
            socket.addEventListener('open', resolve);
            this.closed.then(({code}) => reject(new Error(`closed with ${code} before it was open`)));
        });
        this.opened.catch(() => {});  // also where nobody waits for it
        this.failed = new Promise((resolve) => socket.addEventListener('error', resolve));
        socket.addEventListener('message', ({data}) => {
            const waiting = this.#waiting.shift();
            if (waiting) waiting.resolve(data);
            else this.#messages.push(data);
        });
    }

    static async open(context, url = context.url) {
        const peer = new Peer(context.open(url));
        await within(peer.opened, 'opening');
        return peer;
    }

    async next() {
        if (this.#messages.length > 0) return this.#messages.shift();
        if (this.#isOver) throw new Error('closed');
        return within(new Promise((resolve, reject) => this.#waiting.push({resolve, reject})), 'a message');
    }

    async echo(message) {
        this.socket.send(message);
        expectSame(message, await this.next());
    }

    // Closes, and wants the server to have answered with the same code.
    async close(code = 1000, reason = 'done') {
        this.socket.close(code, reason);
        const end = await within(this.closed, 'the close');
        expectEqual('the close code', code, end.code);
        expectEqual('a clean close', true, end.wasClean);
    }
}

// Text or bytes, the same kind as well.
export function expectSame(sent, got) {
    expectEqual('the kind of the message', typeof sent === 'string', typeof got === 'string');
    if (typeof sent === 'string') {
        if (sent !== got) throw new Error(`${sent.length} characters sent, others came back (${got.length})`);
        return;
    }
    const bytes = new Uint8Array(got);
    expectEqual('the length', sent.length, bytes.length);
    const at = sent.findIndex((byte, i) => byte !== bytes[i]);
    if (at !== -1) throw new Error(`byte ${at} of ${sent.length}: wanted ${sent[at]}, got ${bytes[at]}`);
}

export const kSizes = [0, 1, 125, 126, 127, 65535, 65536, 1 << 20];

// Bytes without pattern, always the same ones.
export function binaryOf(size) {
    const bytes = new Uint8Array(size);
    let state = size + 1;
    for (let i = 0; i < size; ++i) {
        state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
        bytes[i] = state >>> 24;
    }
    return bytes;
}

// That many bytes of UTF-8, with characters of 1 to 4 bytes.
export function textOf(size) {
    const piece = 'aä€😀';  // 10 bytes
    return piece.repeat(Math.floor(size / 10)) + 'x'.repeat(size % 10);
}

// What the wire carries of a megabyte that compresses well.
async function wire(context) {
    const text = 'All work and no play makes Jack a dull boy. '.repeat(24_000).slice(0, 1 << 20);
    const peer = await Peer.open(context, context.countedUrl);
    await context.counted();
    await peer.echo(text);
    const {toServer, toClient} = await context.counted();
    const check = (what, bytes, compressed) => {
        const isSmall = bytes < text.length / 16;
        if (isSmall !== compressed || bytes === 0)
            throw new Error(`${what}: ${bytes} bytes for ${text.length}, wanted ${compressed ? 'few' : 'all'}`);
    };
    check('to the client', toClient, context.deflates);
    check('to the server', toServer, context.deflates && context.clientDeflates);
    await peer.close();
}

export function echoChecks(context) {
    const withPeer = (check) => async () => {
        const peer = await Peer.open(context);
        await check(peer);
        await peer.close();
    };
    return [
        ['the extensions agreed on', withPeer(async (peer) => {
            const agreed = /^permessage-deflate\b/.test(peer.socket.extensions);
            expectEqual(`deflate in «${peer.socket.extensions}»`, context.deflates, agreed);
        })],
        ['text of every size', withPeer(async (peer) => {
            for (const size of kSizes) await peer.echo(textOf(size));
        })],
        ['binary of every size', withPeer(async (peer) => {
            for (const size of kSizes) await peer.echo(binaryOf(size));
        })],
        ['multi-byte text, U+0000 and the last character', withPeer(async (peer) => {
            for (const text of ['\0', 'é', '€', '😀', '\u{10ffff}', '\uffff', 'ab\0ä€😀\n'.repeat(5000)])
                await peer.echo(text);
        })],
        ['many small messages in order', withPeer(async (peer) => {
            const count = 10_000;
            for (let i = 0; i < count; ++i) peer.socket.send(`message ${i}`);
            for (let i = 0; i < count; ++i) expectEqual('the message', `message ${i}`, await peer.next());
        })],
        ['a message again and again', withPeer(async (peer) => {
            for (let i = 0; i < 20; ++i) await peer.echo(textOf(20_000 + i));
        })],
        ['two connections at once', async () => {
            const peers = [await Peer.open(context), await Peer.open(context, `${context.url}/ws`)];
            for (let i = 0; i < 500; ++i) peers.forEach((peer, who) => peer.socket.send(`${who}: ${i}`));
            for (let i = 0; i < 500; ++i) {
                for (const [who, peer] of peers.entries())
                    expectEqual('the message', `${who}: ${i}`, await peer.next());
            }
            await Promise.all(peers.map((peer) => peer.close()));
        }],
        ['what the wire carries of a compressible megabyte', () => wire(context)],
    ];
}

export function endChecks(context) {
    // Too large: the server says so, and the client sees it, although it was still sending.
    const isRefused = async (message) => {
        const peer = await Peer.open(context);
        peer.socket.send(message);
        const end = await within(peer.closed, 'the close');
        expectEqual('the close code', 1009, end.code);
        expectEqual('a reason', true, /^(message|frame) too large$/.test(end.reason));
    };
    return [
        ['a close with 1000 and a reason', async () => (await Peer.open(context)).close(1000, 'bye')],
        ['a close with 3000 and a reason of 123 bytes',
            async () => (await Peer.open(context)).close(3000, '€'.repeat(41))],
        ['a close with 4999', async () => (await Peer.open(context)).close(4999, '')],
        ['a close without a code', async () => {
            const peer = await Peer.open(context);
            peer.socket.close();
            const end = await within(peer.closed, 'the close');
            expectEqual('the close code', 1005, end.code);
            expectEqual('a clean close', true, end.wasClean);
        }],
        ['a message of exactly the limit', async () => {
            const peer = await Peer.open(context);
            await peer.echo(new Uint8Array(context.limit));
            await peer.close();
        }],
        ['1009 for a message over the limit', () => isRefused(binaryOf(context.limit + 1))],
        ['1009 for one that compresses well', () => isRefused(new Uint8Array(context.limit + 1))],
        ['a path without a WebSocket is an error', async () => {
            const peer = new Peer(context.open(`${context.url}/nothing`));
            // Node 20 tells of it by an error event alone, the others by a close as well.
            await within(Promise.race([peer.failed, peer.opened]), 'the error');
            expectEqual('open', false, peer.socket.readyState === 1);
        }],
    ];
}

export async function drainCheck(context) {
    const peers = [await Peer.open(context), await Peer.open(context, `${context.url}/ws`)];
    for (const peer of peers) await peer.echo('before');
    await context.terminate();
    for (const peer of peers) {
        const end = await within(peer.closed, 'the close');
        expectEqual('the close code', 1001, end.code);
        expectEqual('the reason', 'the server is shutting down', end.reason);
        expectEqual('a clean close', true, end.wasClean);
    }
}

// Runs checks one after another; report(name, error) after each, error undefined if it passed.
export async function runChecks(checks, report) {
    for (const [name, check] of checks) {
        try {
            await check();
            await report(name);
        } catch (error) {
            await report(name, error.message);
        }
    }
}

// npm's ws as a client of examples/ws_echo; the command line is ws_client.mjs's.
import {readFileSync} from 'node:fs';
import {randomFillSync} from 'node:crypto';
import {createRequire} from 'node:module';
import {dirname, join} from 'node:path';
import WebSocket from 'ws';

import {binaryOf, drainCheck, echoChecks, endChecks, expectEqual, expectSame, kSizes, Peer, runChecks, textOf, within}
    from './ws_checks.mjs';
import {countingProxy, finish, reporter, server} from './ws_client.mjs';

// What a client may ask for, and what the server has to answer where it compresses; its own flag "shared" asks
// for no context takeover whatever the client says (RFC 7692 §7.1.1).
const kOffers = [
    {},
    {serverNoContextTakeover: true},
    {clientNoContextTakeover: true},
    {serverNoContextTakeover: true, clientNoContextTakeover: true},
    {serverMaxWindowBits: 9},
    {serverMaxWindowBits: 12, clientMaxWindowBits: 11},
    {clientMaxWindowBits: 9},
    {clientMaxWindowBits: 15, serverMaxWindowBits: 15},
    {serverNoContextTakeover: true, clientNoContextTakeover: true, serverMaxWindowBits: 10, clientMaxWindowBits: 10},
];

function contextOf(proxy, perMessageDeflate) {
    return {
        ...server,
        ...proxy,
        open: (url) => new WebSocket(url, {perMessageDeflate, maxPayload: 0}),
        deflates: server.mode !== 'off' && perMessageDeflate !== false,
        clientDeflates: true,
    };
}

// The answer of the handshake, as {name: value or true}; null: no extension.
async function answerTo(context) {
    const socket = context.open(context.url);
    const answer = new Promise((resolve) => {
        socket.once('upgrade', (response) => resolve(response.headers['sec-websocket-extensions']));
    });
    const peer = new Peer(socket);
    await within(peer.opened, 'opening');
    const field = await answer;
    await peer.close();
    if (field === undefined) return null;
    const [name, ...parameters] = field.split(';').map((part) => part.trim());
    expectEqual('the extension', 'permessage-deflate', name);
    return Object.fromEntries(parameters.map((parameter) => {
        const [key, value] = parameter.split('=');
        return [key, value === undefined ? true : Number(value)];
    }));
}

async function checkAnswer(context, offer) {
    const answer = await answerTo(context);
    if (!context.deflates) return expectEqual('the answer', null, answer);
    const isShared = server.mode === 'shared';
    expectEqual('server_no_context_takeover', isShared || offer.serverNoContextTakeover || undefined,
                answer.server_no_context_takeover);
    expectEqual('client_no_context_takeover', isShared || offer.clientNoContextTakeover || undefined,
                answer.client_no_context_takeover);
    expectEqual('server_max_window_bits', offer.serverMaxWindowBits, answer.server_max_window_bits);
    // ws offers it even if it has no value to ask for.
    expectEqual('client_max_window_bits', offer.clientMaxWindowBits ?? 15, answer.client_max_window_bits);
}

// A message in frames of its own, cut wherever, pings in between.
async function sendFragmented(peer, bytes, isText, cuts) {
    let pongs = 0;
    peer.socket.on('pong', (payload) => {
        expectEqual('the pong', `cut ${pongs}`, payload.toString());
        ++pongs;
    });
    const edges = [0, ...cuts, bytes.length];
    for (let i = 0; i + 1 < edges.length; ++i) {
        const fin = i + 2 === edges.length;
        peer.socket.send(bytes.subarray(edges[i], edges[i + 1]), {binary: !isText, fin});
        if (!fin) peer.socket.ping(`cut ${i}`);
    }
    const got = await peer.next();
    if (isText) expectEqual('the text', true, bytes.toString() === got);
    else expectSame(bytes, got);
    expectEqual('pongs before the echo', cuts.length, pongs);
}

function fragmentChecks(context) {
    const withPeer = (check) => async () => {
        const peer = await Peer.open(context);
        await check(peer);
        await peer.close();
    };
    const text = Buffer.from('aä€😀'.repeat(3));
    const everyByte = (bytes) => Array.from({length: bytes.length - 1}, (_, i) => i + 1);
    return [
        ['text, a frame for each byte', withPeer((peer) => sendFragmented(peer, text, true, everyByte(text)))],
        ['text, cut at each byte', async () => {
            for (const cut of everyByte(text)) await withPeer((peer) => sendFragmented(peer, text, true, [cut]))();
        }],
        ['binary in frames of 1000 bytes', withPeer(async (peer) => {
            const bytes = Buffer.from(binaryOf(1 << 18));
            const cuts = Array.from({length: Math.floor(bytes.length / 1000)}, (_, i) => (i + 1) * 1000);
            await sendFragmented(peer, bytes, false, cuts);
        })],
        ['a megabyte of text in three frames, two of them empty',
            withPeer((peer) => sendFragmented(peer, Buffer.from(textOf(1 << 20)), true, [0, 1 << 20]))],
        ['1009 for fragments that are too many bytes together', async () => {
            const peer = await Peer.open(context);
            const half = Buffer.from(binaryOf(context.limit / 2 + 1));
            peer.socket.send(half, {fin: false});
            peer.socket.send(half, {fin: true});
            expectEqual('the close code', 1009, (await within(peer.closed, 'the close')).code);
        }],
    ];
}

function pingAndErrorChecks(context) {
    return [
        ['pings of 0 and 125 bytes', async () => {
            const peer = await Peer.open(context);
            for (const payload of [Buffer.alloc(0), randomFillSync(Buffer.alloc(125))]) {
                const pong = new Promise((resolve) => peer.socket.once('pong', resolve));
                peer.socket.ping(payload);
                expectSame(payload, await within(pong, 'the pong'));
            }
            await peer.close();
        }],
        ['a pong that nobody asked for', async () => {
            const peer = await Peer.open(context);
            peer.socket.pong('unasked');
            await peer.echo('still there');
            await peer.close();
        }],
        // The browser's interface has none: it drops what comes after close().
        ['echoes that are under way come before the close', async () => {
            const peer = await Peer.open(context);
            for (let i = 0; i < 10; ++i) peer.socket.send(binaryOf(100_000 + i));
            const closed = peer.close();
            closed.catch(() => {});  // also where an echo fails first
            for (let i = 0; i < 10; ++i) expectSame(binaryOf(100_000 + i), await peer.next());
            await closed;
        }],
        ['1007 for text that is not UTF-8', async () => {
            const peer = await Peer.open(context);
            peer.socket.send(Buffer.from([0x61, 0xc3, 0x28]), {binary: false});
            expectEqual('the close code', 1007, (await within(peer.closed, 'the close')).code);
        }],
        ['404 for a path without a WebSocket', async () => {
            const socket = context.open(`${context.url}/nothing`);
            socket.on('error', () => {});
            const status = new Promise((resolve) => {
                socket.once('unexpected-response', (request, response) => {
                    resolve(response.statusCode);
                    request.destroy();
                });
            });
            expectEqual('the status', 404, await within(status, 'the answer'));
        }],
    ];
}

const ws = dirname(createRequire(import.meta.url).resolve('ws'));
const {version} = JSON.parse(readFileSync(join(ws, 'package.json')));
const proxy = await countingProxy();
for (const offer of [false, ...kOffers]) {
    // Everything is compressed, also what ws finds too small by default.
    const context = contextOf(proxy, offer && {threshold: 0, ...offer});
    const report = reporter(`ws ${version} with ${JSON.stringify(offer)}`);
    await runChecks([['the answer', () => checkAnswer(context, offer)], ...echoChecks(context)], report);
    await runChecks(fragmentChecks(context), report);
    const isPlain = offer === false || Object.keys(offer).length === 0;
    if (isPlain) await runChecks([...endChecks(context), ...pingAndErrorChecks(context)], report);
}
const context = contextOf(proxy, true);
await runChecks([['1001 when it drains', () => drainCheck(context)]], reporter(`ws ${version}`));
finish();

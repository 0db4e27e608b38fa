// The WebSocket side of examples/push_service, as push_service_test.sh starts it:
//   node --experimental-websocket push_service.mjs http[s]://ADDRESS:PORT PID
// The server has --history 10 --history-topics 3 --subscriptions 4 --allow-origin https://friend.example. At the end
// it is told to drain: PID gets SIGTERM.
import assert from 'node:assert/strict';
import http from 'node:http';
import https from 'node:https';

const [url, pid] = process.argv.slice(2);
const kDeadline = 20_000;

// A client that keeps what comes, and waits for it.
class Client {
    constructor(query) {
        this.messages = [];
        this.closed = null;
        this.look = () => {};
        this.socket = new WebSocket(`${url.replace('http', 'ws')}/ws${query}`);
        this.socket.onmessage = (event) => { this.messages.push(JSON.parse(event.data)); this.look(); };
        this.socket.onclose = (event) => { this.closed = event; this.look(); };
    }

    async until(what, isSo) {
        let timer;
        const late = new Promise((_, reject) => {
            timer = setTimeout(() => reject(new Error(`${what}: still only ${JSON.stringify(this.messages)}`)), kDeadline);
        });
        const met = new Promise((resolve) => { this.look = () => { if (isSo()) resolve(); }; this.look(); });
        await Promise.race([met, late]);
        clearTimeout(timer);
    }

    send(command) { this.socket.send(typeof command === 'string' ? command : JSON.stringify(command)); }
    get data() { return this.messages.filter((m) => m.data !== undefined); }
    get texts() { return this.data.map((m) => m.data); }
    confirmation(topic) { return this.messages.findLast((m) => m.subscribed === topic); }

    async subscribed(topic) { await this.until(`subscribed to ${topic}`, () => this.confirmation(topic)); }
    async has(count) { await this.until(`${count} messages`, () => this.data.length >= count); }
    async refused(times = 1) {
        await this.until('an error', () => this.messages.filter((m) => m.error !== undefined).length >= times);
    }
    async ended() { await this.until('the end', () => this.closed !== null); return this.closed.code; }
}

async function publish(topic, data) {
    const answer = await fetch(`${url}/publish/${encodeURIComponent(topic)}`, {method: 'POST', body: String(data)});
    assert.equal(answer.status, 200);
    return (await answer.json()).id;
}

async function topicsOfTheQuery() {
    const client = new Client('?topic=a&topic=b%2Fc');
    await client.subscribed('b/c');
    const id = await publish('a', 'one');
    await publish('elsewhere', 'no');
    await publish('b/c', 'two');
    await client.has(2);
    assert.deepEqual(client.data[0], {id, topic: 'a', data: 'one'});
    assert.deepEqual(client.texts, ['one', 'two']);
    assert.equal(client.confirmation('a').complete, undefined);
    client.socket.close(1000);
    assert.equal(await client.ended(), 1000);
}

async function subscribeAndUnsubscribe() {
    const client = new Client('');
    await client.until('open', () => client.socket.readyState === WebSocket.OPEN || (client.socket.onopen = client.look, false));
    client.send({subscribe: 'news/+'});
    await client.subscribed('news/+');
    await publish('news/today', 1);
    await client.has(1);
    client.send({unsubscribe: 'news/+'});
    await client.until('unsubscribed', () => client.messages.some((m) => m.unsubscribed === 'news/+'));
    await publish('news/today', 2);
    client.send({subscribe: 'news/today'});
    await client.subscribed('news/today');
    await publish('news/today', 3);
    await client.has(2);
    assert.deepEqual(client.texts, ['1', '3']);
    client.socket.close();
}

async function replayAfterAnId() {
    const ids = [];
    for (let i = 0; i < 4; ++i) ids.push(await publish('r', i));
    const query = new Client(`?topic=r&after=${ids[1]}`);
    await query.subscribed('r');
    assert.deepEqual(query.texts, ['2', '3'], 'the replay comes before the confirmation');
    assert.equal(query.confirmation('r').complete, true);
    assert.ok(query.confirmation('r').id >= ids[3]);
    query.send({subscribe: 's', after: ids[0]});
    await query.subscribed('s');
    assert.deepEqual(query.texts, ['2', '3']);
    query.socket.close();
    for (let i = 4; i < 15; ++i) await publish('r', i);
    const late = new Client(`?topic=r&after=${ids[0]}`);
    await late.subscribed('r');
    assert.deepEqual(late.texts, Array.from({length: 10}, (_, i) => String(i + 5)), 'the last ten');
    assert.equal(late.confirmation('r').complete, false);
    late.socket.close();
}

// Who connects again and again while others publish, always with his last id, sees each message once, in order.
async function replayAndLiveJoin() {
    const kCount = 400;
    const kAhead = 4;  // well below what the history keeps, however slow this client is
    const seen = [];
    let after = await publish('j', 'start');
    let isDone = false;
    let client;
    const publisher = (async () => {
        for (let i = 0; i < kCount; ++i) {
            while (i - seen.length - (client?.data.length ?? 0) >= kAhead) await new Promise((go) => setImmediate(go));
            await publish('j', i);
        }
        isDone = true;
    })();
    while (!isDone || seen.length < kCount) {
        client = new Client(`?topic=j&after=${after}`);
        await client.subscribed('j');
        assert.equal(client.confirmation('j').complete, true);
        const wanted = Math.min(kCount - seen.length, client.data.length + 2);
        await client.has(wanted);
        client.socket.close();
        const got = client.data;
        client.messages = [];  // counted in `seen` from here on
        seen.push(...got.map((m) => Number(m.data)));
        if (got.length > 0) after = got.at(-1).id;
    }
    await publisher;
    assert.deepEqual(seen, Array.from({length: kCount}, (_, i) => i));
}

// Topics with history are three: the one that nobody published to for longest goes, and leaves its id.
async function historyIsBounded() {
    const first = await publish('h1', 'gone');
    for (const topic of ['h2', 'h3', 'h4']) await publish(topic, topic);
    const client = new Client(`?topic=h1&after=${first - 1}`);
    await client.subscribed('h1');
    assert.deepEqual(client.texts, []);
    assert.equal(client.confirmation('h1').complete, false);
    client.socket.close();
}

async function errors() {
    const limited = new Client('?topic=1&topic=2&topic=3&topic=4');
    await limited.subscribed('4');
    limited.send({subscribe: '5'});
    await limited.refused();
    assert.equal(limited.messages.at(-1).error, 'too many subscriptions');
    limited.send({subscribe: '4'});
    await limited.refused(2);
    assert.equal(limited.messages.at(-1).error, 'already subscribed');
    limited.send({unsubscribe: '4'});
    limited.send({subscribe: '5'});
    await limited.subscribed('5');
    const wrong = ['{', '7', '{}', '{"subscribe":7}', '{"subscribe":"a/#/b"}', '{"subscribe":"x","after":-1}',
                   '{"subscribe":"x","more":1}', '{"unsubscribe":"never"}'];
    for (const text of wrong) {
        limited.send(text);
        limited.send({unsubscribe: '5'});
        limited.send({subscribe: '5'});
    }
    await limited.refused(2 + wrong.length);
    for (let i = 0; i < 5; ++i) limited.send('{');
    assert.equal(await limited.ended(), 1008);
    assert.equal(await new Client('?topic=1&topic=2&topic=3&topic=4&topic=5').ended(), 1008);
    assert.equal(await new Client('?topic=a%23').ended(), 1008);
    assert.equal(await new Client('?topic=a&after=x').ended(), 1008);
}

// The status of a handshake from a page of this origin.
function handshakeFrom(origin) {
    return new Promise((resolve, reject) => {
        const headers = {Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Version': '13',
                         'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==', Origin: origin};
        const request = (url.startsWith('https:') ? https : http).get(`${url}/ws`, {headers});
        request.on('response', (response) => { response.resume(); resolve(response.statusCode); });
        request.on('upgrade', (response, socket) => { socket.destroy(); resolve(101); });
        request.on('error', reject);
    });
}

async function origins() {
    assert.equal(await handshakeFrom(url), 101);
    assert.equal(await handshakeFrom('https://friend.example'), 101);
    assert.equal(await handshakeFrom('https://friend.example.evil.example'), 403);
    assert.equal(await handshakeFrom('null'), 403);
}

async function drain() {
    const clients = ['a', 'b', 'c'].map((topic) => new Client(`?topic=${topic}`));
    await Promise.all(clients.map((client, i) => client.subscribed('abc'[i])));
    process.kill(Number(pid), 'SIGTERM');
    for (const client of clients) assert.equal(await client.ended(), 1001);
}

for (const test of [topicsOfTheQuery, subscribeAndUnsubscribe, replayAfterAnId, replayAndLiveJoin, historyIsBounded,
                    errors, origins, drain]) {
    await test();
    console.log(`ok: ${test.name}`);
}

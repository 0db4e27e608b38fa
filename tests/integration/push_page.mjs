// The page of examples/push_service in headless Chromium:
//   node push_page.mjs SERVER CHROMIUM DIRECTORY PICTURES [FLAGS OF THE SERVER...]
// Between the page and the server stands a relay, so that the connection can be cut while both go on.
import assert from 'node:assert/strict';
import {spawn} from 'node:child_process';
import {once} from 'node:events';
import net from 'node:net';
import path from 'node:path';
import {createInterface} from 'node:readline';
import {chromium} from 'playwright-core';

const [program, browserPath, directory, pictures, ...further] = process.argv.slice(2);
const kDeadline = 30_000;

class Server {
    async start(port = 0) {
        const flags = ['--address', '127.0.0.1', '--port', String(port), '--threads', '2', '--open-publish',
                       '--drain-spread', '100', ...further];
        this.process = spawn(program, flags, {stdio: ['ignore', 'pipe', 'inherit']});
        const exited = once(this.process, 'exit').then(() => { throw new Error('the server ended at once'); });
        exited.catch(() => {});  // later it may
        const [line] = await Promise.race([once(createInterface(this.process.stdout), 'line'), exited]);
        this.url = line.replace('listening on ', '');
        this.port = Number(new URL(this.url).port);
    }

    async end(signal) {
        const exited = once(this.process, 'exit');
        this.process.kill(signal);
        return (await exited)[0];
    }

    async publish(topic, ...texts) {
        for (const body of texts) {
            const answer = await fetch(`${this.url}/publish/${topic}`, {method: 'POST', body});
            assert.equal(answer.status, 200);
        }
    }
}

// Passes bytes on both ways until it is cut.
class Relay {
    #sockets = new Set();

    constructor(server) {
        this.isCut = false;
        this.listener = net.createServer((client) => {
            if (this.isCut) return client.destroy();
            const upstream = net.connect(server.port, '127.0.0.1');
            for (const [from, to] of [[client, upstream], [upstream, client]]) {
                this.#sockets.add(from);
                from.on('error', () => {});
                from.on('close', () => { this.#sockets.delete(from); to.destroy(); });
                from.pipe(to);
            }
        });
    }

    async listen() {
        this.listener.listen(0, '127.0.0.1');
        await once(this.listener, 'listening');
        this.url = `${new URL(server.url).protocol}//127.0.0.1:${this.listener.address().port}`;
    }

    cut() {
        this.isCut = true;
        for (const socket of this.#sockets) socket.destroy();
    }
    mend() { this.isCut = false; }
    end() { this.cut(); this.listener.close(); }
}

const server = new Server();
const relay = new Relay(server);
await server.start();
await relay.listen();
const context = await chromium.launchPersistentContext(path.join(directory, 'profile'), {
    executablePath: browserPath,
    headless: true,
    viewport: {width: 900, height: 640},
    args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
           '--disable-background-networking', '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage'],
});
context.setDefaultTimeout(kDeadline);

const page = await context.newPage();
const complaints = [];
page.on('pageerror', (error) => complaints.push(error.message));
page.on('console', (message) => {
    if (message.text().includes('Content Security Policy')) complaints.push(message.text());
});
page.on('request', (request) => {
    if (new URL(request.url()).protocol.startsWith('http') && !request.url().startsWith(relay.url))
        complaints.push(`asked for ${request.url()}`);
});

const waitForState = (pattern) => page.waitForFunction(
    ([source]) => new RegExp(source).test(document.getElementById('state').textContent), [pattern.source]);
const waitForText = (text) => page.waitForFunction(
    (wanted) => document.querySelector('#messages li span')?.textContent === wanted, text);
// Oldest first.
const shown = async () => (await page.locator('#messages li span').allTextContents()).reverse();
const picture = (name) => page.screenshot({path: path.join(pictures, `${name}.png`)});

async function messagesAppear() {
    await page.goto(`${relay.url}/#demo`);
    await waitForState(/^open$/);
    await server.publish('demo', 'one', '<b>two</b><img src=x onerror=alert(1)>', 'three');
    await waitForText('three');
    assert.deepEqual(await shown(), ['one', '<b>two</b><img src=x onerror=alert(1)>', 'three']);
    assert.equal(await page.locator('#messages b, #messages img').count(), 0, 'text is text');
    assert.equal(await page.locator('#count').textContent(), '3');
    await page.waitForFunction(() => Number(document.getElementById('rate').textContent) > 0);
    await picture('open');
}

async function cutAndMended() {
    relay.cut();
    await waitForState(/^closed with 1006; reconnecting in \d+ s$/);
    await picture('reconnecting');
    await server.publish('demo', 'four', 'five');  // while it is away
    relay.mend();
    await waitForText('five');
    await waitForState(/^open$/);
    await server.publish('demo', 'six');
    await waitForText('six');
    assert.deepEqual((await shown()).slice(3), ['four', 'five', 'six']);
    assert.equal(await page.locator('#gap').textContent(), '', 'nothing was missed');
}

// A new server begins with greater ids: what it has for the page is all that it has.
async function killedAndRestarted() {
    await server.end('SIGKILL');
    await waitForState(/^closed with 1006; reconnecting/);
    relay.cut();  // so that it is away when these are published
    await server.start(server.port);
    await server.publish('demo', 'seven', 'eight');
    relay.mend();
    await waitForText('eight');
    await waitForState(/^open$/);
    await server.publish('demo', 'nine');
    await waitForText('nine');
    assert.deepEqual((await shown()).slice(6), ['seven', 'eight', 'nine']);
    assert.equal(await page.locator('#gap').textContent(), 'some messages were missed', 'perhaps, before the end');
}

async function drained() {
    // The page may be refused again before the server has ended.
    const told = waitForState(/^closed with 1001: the server is shutting down; reconnecting in \d+ s$/);
    assert.equal(await server.end('SIGTERM'), 0);
    await told;
    await server.start(server.port);
    await waitForState(/^open$/);
    await server.publish('demo', 'ten');
    await waitForText('ten');
    assert.deepEqual((await shown()).slice(9), ['ten']);
}

async function anotherTopic() {
    await page.fill('#topic', 'other/τ');
    await page.click('button');
    await waitForState(/^open$/);
    assert.equal(new URL(page.url()).hash, '#other%2F%CF%84');
    assert.deepEqual(await shown(), []);
    await server.publish(encodeURIComponent('other/τ'), 'here');
    await waitForText('here');
    await server.publish('demo', 'not here');
    await server.publish(encodeURIComponent('other/τ'), 'here, too');
    await waitForText('here, too');
    assert.deepEqual(await shown(), ['here', 'here, too']);
}

async function theListIsCapped() {
    await server.publish('many', 'x');
    await page.goto(`${relay.url}/#many`);
    await waitForState(/^open$/);
    await server.publish('many', ...Array.from({length: 250}, (_, i) => `message ${i}`));
    await waitForText('message 249');
    assert.equal(await page.locator('#messages li').count(), 200);
    assert.equal(await page.locator('#count').textContent(), '250');
}

try {
    for (const test of [messagesAppear, cutAndMended, killedAndRestarted, drained, anotherTopic, theListIsCapped]) {
        await test();
        console.log(`ok: ${test.name}`);
    }
    assert.deepEqual(complaints, []);
    console.log('all passed');
} catch (error) {
    await picture('failed').catch(() => {});
    console.log(`FAILED: ${error.stack}`);
    console.log(`the state was «${await page.locator('#state').textContent().catch(() => '')}»`, complaints);
    process.exitCode = 1;
} finally {
    await context.close();
    relay.end();
    await server.end('SIGKILL');
}

// Chromium as a client of examples/ws_echo: a page of its own runs ws_checks.mjs. The command line is
// ws_client.mjs's.
import {mkdtempSync, readFileSync, rmSync} from 'node:fs';
import {createServer} from 'node:http';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {chromium} from 'playwright-core';

import {countingProxy, finish, reporter, server} from './ws_client.mjs';

const kFlags = [
    '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
    '--disable-background-networking', '--disable-component-update', '--disable-sync',
    '--disable-dev-shm-usage',  // in a container it may be too small
];

// The page and the checks; nothing else is to be had here.
const kFiles = {
    '/': ['text/html', '<!DOCTYPE html><title>ws_echo</title>'],
    '/ws_checks.mjs': ['text/javascript', readFileSync(new URL('ws_checks.mjs', import.meta.url))],
};
const site = createServer((request, response) => {
    const [type, body] = kFiles[request.url] ?? [];
    if (type) response.setHeader('Content-Type', type);
    else response.statusCode = 404;
    response.end(body);
});
await new Promise((resolve) => site.listen(0, '127.0.0.1', resolve));

const profile = mkdtempSync(join(tmpdir(), 'tnet-chromium.'));
const browser = await chromium.launchPersistentContext(profile, {
    executablePath: '/usr/bin/chromium',
    chromiumSandbox: false,
    args: kFlags,
    timeout: 60_000,
});
try {
    const proxy = await countingProxy();
    const page = await browser.newPage();
    await page.goto(`http://127.0.0.1:${site.address().port}/`);
    await page.exposeFunction('report', reporter(`Chromium ${browser.browser()?.version() ?? ''}`));
    await page.exposeFunction('counted', proxy.counted);
    await page.exposeFunction('terminate', server.terminate);
    await page.evaluate(async (settings) => {
        const {drainCheck, echoChecks, endChecks, runChecks} = await import('/ws_checks.mjs');
        const context = {
            ...settings,
            counted: window.counted,
            terminate: window.terminate,
            open: (url) => new WebSocket(url),
            clientDeflates: true,
        };
        const checks =
            [...echoChecks(context), ...endChecks(context), ['1001 when it drains', () => drainCheck(context)]];
        await runChecks(checks, window.report);
    }, {url: server.url, countedUrl: proxy.countedUrl, limit: server.limit, deflates: server.mode !== 'off'});
} finally {
    await browser.close();
    rmSync(profile, {recursive: true, force: true});
}
finish();

// examples/http_server in headless Chromium:
//   node tls_page.mjs https://HOST:PORT
// It trusts what $HOME/.pki/nssdb says, and nothing more.
import assert from 'node:assert/strict';
import {mkdtempSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {chromium} from 'playwright-core';

const [url] = process.argv.slice(2);
const context = await chromium.launchPersistentContext(mkdtempSync(join(tmpdir(), 'tnet-chromium.')), {
    executablePath: '/usr/bin/chromium',
    chromiumSandbox: false,
    args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
           '--disable-background-networking', '--disable-component-update', '--disable-sync',
           '--disable-dev-shm-usage', '--host-resolver-rules=MAP *.example 127.0.0.1'],
});
context.setDefaultTimeout(30_000);
try {
    const page = await context.newPage();
    const answer = await page.goto(`${url}/`);
    assert.equal(answer.status(), 200);
    assert.equal(await page.title(), 'tnet');
    const details = await answer.securityDetails();
    assert.equal(details.protocol, 'TLS 1.3');
    assert.match(details.issuer, /^tnet dev-cert/);
    console.log('ok: the page, with a certificate that is trusted');

    const shown = await page.evaluate(async () => (await fetch('/tls')).json());
    assert.equal(shown.version, 'TLSv1.3');
    assert.equal(shown.protocol, 'http/1.1');
    console.log(`ok: it agreed on ${shown.version} and ${shown.cipher}`);

    const same = await page.evaluate(async () => {
        const body = crypto.getRandomValues(new Uint8Array(60_000)).join();
        const answers = await Promise.all(Array.from({length: 30}, () => fetch('/echo', {method: 'POST', body})));
        const texts = await Promise.all(answers.map((answer) => answer.text()));
        return texts.filter((text) => text === body).length;
    });
    assert.equal(same, 30);
    console.log('ok: thirty bodies at once');

    // The same server by a name that its certificate is not for.
    const strange = new URL(url);
    strange.hostname = 'strange.example';
    await assert.rejects(page.goto(strange.href), /ERR_CERT_COMMON_NAME_INVALID/);
    console.log('ok: another host is refused');
    console.log('all passed');
} catch (error) {
    console.log(`FAILED: ${error.stack}`);
    process.exitCode = 1;
} finally {
    await context.close();
}

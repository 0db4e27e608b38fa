// Node's own WebSocket as a client of examples/ws_echo; the command line is ws_client.mjs's.
import {drainCheck, echoChecks, endChecks, runChecks} from './ws_checks.mjs';
import {countingProxy, finish, reporter, server} from './ws_client.mjs';

const context = {
    ...server,
    ...await countingProxy(),
    open: (url) => new WebSocket(url),
    deflates: server.mode !== 'off',  // it always offers it
    clientDeflates: false,            // it decompresses, and sends as it is
};
await runChecks([...echoChecks(context), ...endChecks(context), ['1001 when it drains', () => drainCheck(context)]],
                reporter(`Node ${process.version}`));
finish();

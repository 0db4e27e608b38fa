#include "examples/push/page.h"

namespace tnet {

const char* const kPushPage = R"page(<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>push</title>
<style>
:root { --ink: #1c2430; --dim: #687385; --line: #dfe3ea; --paper: #f5f6f8; --card: #fff; --accent: #2460d8;
        --good: #1a8f4f; --wait: #c07a00; color-scheme: light dark; }
@media (prefers-color-scheme: dark) {
    :root { --ink: #e4e8ee; --dim: #929cab; --line: #323a47; --paper: #14181f; --card: #1c222b; --accent: #74a1ff;
            --good: #3cc47c; --wait: #e5a53a; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 52rem; padding: 1.5rem 1rem; background: var(--paper); color: var(--ink);
       font: 16px/1.5 system-ui, sans-serif; }
header, form, #bar { display: flex; flex-wrap: wrap; align-items: center; gap: .75rem; }
h1 { margin: 0; flex: 1; font-size: 1.4rem; }
form { margin: 1rem 0; }
label { color: var(--dim); }
input, button { font: inherit; padding: .4rem .75rem; border: 1px solid var(--line); border-radius: .5rem;
                background: var(--card); color: inherit; }
input { flex: 1; min-width: 10rem; }
button { background: var(--accent); border-color: var(--accent); color: var(--card); cursor: pointer; }
#state { padding: .15rem .75rem; border-radius: 1rem; color: var(--wait); border: 1px solid currentColor; }
#state[data-state=open] { color: var(--good); }
#bar { justify-content: space-between; color: var(--dim); font-variant-numeric: tabular-nums; }
ol { list-style: none; margin: .5rem 0; padding: 0; background: var(--card); border: 1px solid var(--line);
     border-radius: .5rem; }
li { display: flex; gap: 1rem; padding: .45rem 1rem; border-top: 1px solid var(--line); }
li:first-child { border-top: 0; }
li time { color: var(--dim); font-variant-numeric: tabular-nums; }
li span { flex: 1; white-space: pre-wrap; overflow-wrap: anywhere; }
ol:empty::after { content: "No message yet."; display: block; padding: .75rem 1rem; color: var(--dim); }
</style>
<header><h1>push</h1><span id="state" role="status">connecting</span></header>
<form id="form">
    <label for="topic">Topic</label>
    <input id="topic" required maxlength="256" autocomplete="off" spellcheck="false">
    <button>Show</button>
</form>
<div id="bar"><span><b id="count">0</b> messages</span><span id="gap"></span><span><b id="rate">0</b> per second</span></div>
<ol id="messages"></ol>
<script>
'use strict';
const kShown = 200;             // messages in the list
const kFirstDelay = 500;        // } of the back-off,
const kLongestDelay = 30000;    // } in milliseconds
const kRateWindow = 5000;

const element = (id) => document.getElementById(id);
let topic = '';
let socket = null;
let lastId = null;    // the latest seen: where to go on
let attempts = 0;     // since the connection was last of use
let timer = 0;
let count = 0;
let arrivals = [];    // times, within kRateWindow

function setState(state, text) {
    element('state').dataset.state = state;
    element('state').textContent = text;
}

function connect() {
    setState('connecting', 'connecting');
    const url = new URL('/ws', location.href);
    url.protocol = location.protocol === 'https:' ? 'wss:' : 'ws:';
    url.searchParams.set('topic', topic);
    if (lastId !== null) url.searchParams.set('after', lastId);
    const mine = socket = new WebSocket(url);
    mine.onmessage = (event) => { if (mine === socket) receive(JSON.parse(event.data)); };
    mine.onclose = (event) => { if (mine === socket) reconnect(event); };
}

function receive(message) {
    if (message.subscribed !== undefined) {
        attempts = 0;
        lastId = Math.max(lastId ?? 0, message.id);
        if (message.complete === false) element('gap').textContent = 'some messages were missed';
        setState('open', 'open');
    } else if (message.data !== undefined) {
        lastId = Math.max(lastId ?? 0, message.id);
        show(message);
    }
}

function show(message) {
    const item = document.createElement('li');
    const time = document.createElement('time');
    const text = document.createElement('span');
    item.dataset.id = message.id;
    time.textContent = new Date().toLocaleTimeString();
    text.textContent = message.data;  // as text, whatever it is
    item.append(time, text);
    const list = element('messages');
    list.prepend(item);
    while (list.childElementCount > kShown) list.lastElementChild.remove();
    element('count').textContent = ++count;
    arrivals.push(performance.now());
    showRate();
}

function showRate() {
    const since = performance.now() - kRateWindow;
    arrivals = arrivals.filter((time) => time > since);
    element('rate').textContent = (arrivals.length * 1000 / kRateWindow).toFixed(1);
}

// Twice as long each time, and somewhere in the second half of that: all who were cut off do not come at once.
function reconnect(close) {
    const why = `closed with ${close.code}${close.reason && ': '}${close.reason}`;
    const longest = Math.min(kLongestDelay, kFirstDelay * 2 ** attempts++);
    const due = performance.now() + longest * (1 + Math.random()) / 2;
    const tick = () => {
        const left = due - performance.now();
        if (left <= 0) return connect();
        setState('reconnecting', `${why}; reconnecting in ${Math.ceil(left / 1000)} s`);
        timer = setTimeout(tick, Math.min(left, 250));
    };
    tick();
}

function topicOfHash() {
    try {
        return decodeURIComponent(location.hash.slice(1)) || 'demo';
    } catch {
        return 'demo';
    }
}

function begin() {
    clearTimeout(timer);
    const old = socket;
    socket = null;
    if (old !== null) old.close();
    topic = topicOfHash();
    element('topic').value = topic;
    document.title = `push: ${topic}`;
    element('messages').replaceChildren();
    element('gap').textContent = '';
    lastId = null;
    attempts = count = 0;
    arrivals = [];
    element('count').textContent = 0;
    showRate();
    connect();
}

element('form').onsubmit = (event) => {
    event.preventDefault();
    const hash = '#' + encodeURIComponent(element('topic').value);
    if (hash === location.hash) begin();
    location.hash = hash;
};
onhashchange = begin;
setInterval(showRate, 500);
begin();
</script>
</html>
)page";

}  // namespace tnet

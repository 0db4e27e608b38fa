// The same as seen_server.cc, by Node's http server: what it took each request for, in the field X-Saw.
import { createServer } from "node:http";

const kOfOneHop = new Set(["connection", "content-length", "expect", "host", "keep-alive", "te", "trailer",
    "transfer-encoding", "upgrade"]);

const kTable = Array.from({ length: 256 }, (_, n) => {
    for (let bit = 0; bit < 8; ++bit) n = n & 1 ? (n >>> 1) ^ 0xedb88320 : n >>> 1;
    return n >>> 0;
});
function checksum(bytes) {
    let sum = 0xffffffff;
    for (const byte of bytes) sum = kTable[(sum ^ byte) & 0xff] ^ (sum >>> 8);
    return ((sum ^ 0xffffffff) >>> 0).toString(16);
}
const hex = (text) => "x" + Buffer.from(text, "latin1").toString("hex");

function describe(request, body) {
    const fields = [];
    for (let i = 0; i < request.rawHeaders.length; i += 2) {
        const name = request.rawHeaders[i].toLowerCase();
        if (kOfOneHop.has(name)) continue;
        fields.push(checksum(Buffer.from(`${name}:${request.rawHeaders[i + 1]}`, "latin1")));
    }
    return [request.method, hex(request.url), hex(request.headers.host ?? ""), `${body.length}:${checksum(body)}`,
        fields.join(",") || "-"].join(" ");
}

const server = createServer((request, response) => {
    const pieces = [];
    request.on("data", (piece) => pieces.push(piece));
    request.on("end", () => {
        response.setHeader("X-Saw", describe(request, Buffer.concat(pieces)));
        response.setHeader("Content-Length", 5);
        response.end("seen\n");
    });
});
// The client ends its direction behind what it sends, and waits for the answers.
server.httpAllowHalfOpen = true;
// Node's own listener ends the connection before requests in front of the malformed one are answered, and calls an
// unfinished request malformed at the end. Otherwise this does as it does.
server.on("clientError", (error, socket) => {
    setImmediate(() => {
        if (error.code === "HPE_INVALID_EOF_STATE") return socket.end();
        const status = error.code === "HPE_HEADER_OVERFLOW" ? "431 Too Large" : "400 Bad Request";
        socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\n\r\n`);
    });
});
server.listen(0, "127.0.0.1", () => console.log(`listening on http://127.0.0.1:${server.address().port}`));

"""Transcripts of requests, made by going through all that can be spelled in more than one way: name -> bytes.

A name is "group:variant". Behind each transcript its reader sends one more request, so one that swallows it, or that
makes two of one, shows.
"""

HOST = b"Host: example.com\r\n"
NEXT = b"GET /next HTTP/1.1\r\nHost: example.com\r\n\r\n"
HELLO = b"5\r\nhello\r\n"
LAST = b"0\r\n\r\n"

# What is special to somebody: all controls, all of ASCII's punctuation, some letters and digits, and beyond ASCII.
BYTES = sorted({*range(0x21), *b"!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", *b"059aAfFgxXzZ", 0x7F, 0x80, 0x85, 0xA0, 0xC3, 0xFF})

# Instead of a CRLF.
LINE_ENDS = (b"", b"\n", b"\r", b"\r\r\n", b"\n\r", b"\n\n", b"\r\n\n", b"\n\r\n", b"\r\n\r", b"\r\n\r\n", b"\r\0\n", b"\r \n",
             b" \r\n", b"\t\r\n", b"\0\r\n", b"\x0b\r\n", b"\x0c\r\n", b"\r\n ", b"\r\n\t", b"\r\n \r\n", b"\r\n\0", b"\r\n\r\n\r\n",
             b"\x85", b"\xe2\x80\xa8", b"\rX", b"\r:", b"\\r\\n", b"%0d%0a", b"\x1a\r\n", b"\r\n\x0b", b"\r\n\x0c")

BLANKS = (b"", b" ", b"  ", b"\t", b" \t", b"\t ", b"\x0b", b"\x0c", b"\0", b"\xa0", b"\r", b"\n", b"\r\n", b"\r\n ", b"\r\n\t", b"\x1f",
          b"\xc2\xa0", b"\xe2\x80\x83", b"+", b"%20")

LENGTHS = (b"5", b"05", b"005", b"0" * 30 + b"5", b"+5", b"-5", b"-0", b"5.0", b"5e0", b"0x5", b"0X5", b"5h", b"a", b"5 ", b"5\t", b" 5",
           b"\t5", b"\x0b5", b"5\x0b", b"5\0", b"\0" b"5", b"5,5", b"5, 5", b"5,6", b"6,5", b"5,", b",5", b"5;", b"5;q=1", b"5 5", b"0 5", b"5\t5",
           b"\"5\"", b"'5'", b"five", b"", b" ", b"1_0", b"0b101", b"0o5", b"\xd9\xa5", b"\xc2\xb2", b"4294967301", b"18446744073709551621",
           b"9223372036854775813", b"99999999999999999999", b"340282366920938463463374607431768211461", b"0", b"00", b"4", b"3",
           b"5\r\n", b"5\r", b"5\n", b"5\r\n ", b"5\r\n 5", b"#5", b"5#", b"5:", b"(5)", b"5(x)", b"5%", b"%35", b"1e1", b"Infinity", b"NaN")

CODINGS = (b"chunked", b"Chunked", b"CHUNKED", b"cHuNkEd", b"chunke", b"chunkedd", b"xchunked", b"chunked ", b"chunked\t", b" chunked",
           b"\tchunked", b"\x0bchunked", b"chunked\x0b", b"\x0cchunked", b"chunked\x0c", b"chunked\0", b"\0chunked", b"chun\0ked",
           b"\"chunked\"", b"'chunked'", b"chunked;", b"chunked;q=1", b"chunked;q=0", b"chunked; a=b", b";chunked", b"chunked,", b",chunked",
           b", chunked", b"chunked ,", b"chunked, ", b",,chunked", b"chunked,,", b"chunked, chunked", b"chunked,chunked", b"chunked chunked",
           b"gzip", b"gzip, chunked", b"gzip,chunked", b"chunked, gzip", b"identity", b"identity, chunked", b"chunked, identity",
           b"identity,chunked", b"deflate, gzip, chunked", b"compress", b"x-gzip, chunked", b"trailers, chunked", b"chunked, trailers",
           b"", b" ", b",", b", ,", b"x, chunked", b"chunked x", b"x chunked", b"chunked/1", b"chunked=1", b"chun ked", b"chunked\xa0",
           b"\xa0chunked", b"chunked\xc2\xa0", b"chunked\r\n ", b"\r\n chunked", b"\r\n\tchunked", b"chunked\r\n , identity", b"chun\r\n ked",
           b"chunked\r", b"\rchunked", b"chunked\n", b"\nchunked", b"none", b"null", b"0", b"chunked (x)", b"(x) chunked", b"[chunked]",
           b"chunked:", b":chunked", b"\xc5\xbfchunked", b"chun\xe2\x84\xaaed", b"br, chunked", b"chunked, Chunked", b"\x7fchunked", b"chunked\x7f")

CODING_NAMES = (b"Transfer-Encoding", b"transfer-encoding", b"TRANSFER-ENCODING", b"Transfer_Encoding", b"Transfer Encoding",
                b"Transfer-Encoding ", b"Transfer-Encoding\t", b" Transfer-Encoding", b"\tTransfer-Encoding", b"Transfer-Encoding\0",
                b"\0Transfer-Encoding", b"Transfer-Encoding\x0b", b"\x0bTransfer-Encoding", b"Transfer-\x00Encoding", b"Transfer\xadEncoding",
                b"Transfer\xe2\x80\x90Encoding", b"Transfer--Encoding", b"TransferEncoding", b"Transfer.Encoding", b"xTransfer-Encoding",
                b"Transfer-Encodingx", b"Transfer-Encoding:", b":Transfer-Encoding", b"Transfer-Encoding\r", b"\rTransfer-Encoding",
                b"Transfer-Encoding\r\n ", b"\"Transfer-Encoding\"", b"Tran\xc5\xbffer-Encoding", b"Transfer-Encoding\x7f", b"Transfer%2dEncoding",
                b"X: y\nTransfer-Encoding", b"X: y\rTransfer-Encoding", b"X:\rTransfer-Encoding", b"X:\nTransfer-Encoding", b": x\r\nTransfer-Encoding")

CHUNK_SIZES = (b"5", b"05", b"0005", b"0" * 15 + b"5", b"0" * 16 + b"5", b"0" * 17 + b"5", b"0" * 100 + b"5", b"+5", b"-5", b"0x5", b"0X5", b"x5", b"5h",
               b"5H", b"5 ", b"5  ", b"5\t", b" 5", b"\t5", b"\x0b5", b"5\x0b", b"5\x0c", b"5\0", b"\0" b"5", b"5.0", b"5,5", b"0 5", b"5 5", b"5_", b"0_5", b"\"5\"",
               b"", b" ", b"g", b"z", b"5g", b"5z", b"5:", b"5=", b"5#", b"5/", b"5\\", b"5%", b"%35", b"\\5", b"\xd9\xa5", b"5\x80", b"5\xff", b"\xff5",
               b"10000000000000005", b"100000000000000005", b"8000000000000005", b"FFFFFFFFFFFFFFFF", b"fffffffffffffffb", b"100000005",
               b"80000005", b"7fffffffffffffff", b"1" + b"0" * 31 + b"5", b"4", b"6", b"3", b"5\r", b"5\n", b"5\r\n", b"\r\n5", b"\n5", b"\r5", b"5\r\r",
               b"5;", b"5 ;", b"5; ", b"5 ;a", b"5\t;a", b"5;a", b"5; a", b"5;a ", b"5;a=b", b"5;a =b", b"5;a= b", b"5;a=b ", b"5;a=\"b\"", b"5;a=\"b",
               b"5;a=b\"", b"5;a=\"\\\"\"", b"5;a=\"b\"c", b"5;a=\"b\";c", b"5;a=b;c", b"5;a=b;c=d", b"5;a;b", b"5;;", b"5;;a", b"5;a;", b"5;=", b"5;=b", b"5;a=",
               b"5;a==b", b"5;a=\"\r\n\"", b"5;a=\"\n\"", b"5;a=\"\r\"", b"5;\n", b"5;\r", b"5;a\n", b"5;a\r", b"5;a=b\n", b"5;a=b\r", b"5;a\0", b"5;a=\0", b"5;a=\"\0\"",
               b"5;a=\"\t\"", b"5;a=\"\x7f\"", b"5;a=\"\x80\"", b"5;a=\x80", b"5;\x80", b"5;a=b,c", b"5;(a)", b"5;a=\"b\nc\"", b"5;\xe2\x80\xa8", b"5;a=\"" + b"b" * 200 + b"\"",
               b"5;" + b"a" * 240, b"5;" + b"a" * 250, b"5;" + b"a" * 260, b"5,a=b", b"5 a=b", b"5\"a\"", b"5;a='b'", b"5;0", b"5;5", b"5;a\n5", b"5;\r\r")

HOSTS = (b"", b" ", b"\t", b"example.com:", b"example.com:80", b"example.com:0", b"example.com:65535", b"example.com:65536", b"example.com:99999999999999999999",
         b"example.com:-1", b"example.com:+80", b"example.com:http", b"example.com:80 ", b"example.com: 80", b"example.com :80", b"example.com:80:80",
         b"example.com:0080", b"example.com:00000000080", b"example.com:8_0", b":80", b":", b".", b"..", b"a..b", b".example.com", b"example.com.", b"example.com..", b"-", b"_",
         b"EXAMPLE.com", b"user@example.com", b"user:pw@example.com", b"@example.com", b"example.com@", b"example.com/", b"example.com/x", b"/example.com",
         b"http://example.com", b"//example.com", b"example.com?x", b"example.com#x", b"example.com\\x", b"example.com;x", b"example.com,x", b"example.com, x",
         b"a b", b"a\tb", b"a%20b", b"a%2fb", b"a%00b", b"a%zzb", b"a%", b"%65xample.com", b"<x>", b"{x}", b"[x]", b"`x`", b"a|b", b"a^b", b"a\"b", b"'a'", b"a!b", b"a$b", b"a&b", b"a'b", b"a(b)",
         b"a*b", b"*", b"a+b", b"a=b", b"a~b", b"\xc3\xa9", b"a\xff", b"xn--a", b"127.0.0.1", b"127.1", b"0x7f.1", b"2130706433", b"1.2.3.4.5", b"999.1.1.1", b"[::1]", b"[::1]:80", b"[::1]:",
         b"[::1]x", b"[::1", b"::1]", b"::1", b"[]", b"[:]", b"[::g]", b"[::1%25eth0]", b"[::1%eth0]", b"[1:2:3:4:5:6:7:8]", b"[1:2:3:4:5:6:7:8:9]", b"[1::2::3]", b"[::127.0.0.1]",
         b"[::127.0.0.256]", b"[127.0.0.1]", b"[v1.a:b]", b"[v1.]", b"[v.a]", b"[vG.a]", b"[::1]:65536", b"[::1].", b"[[::1]]", b"[::1 ]", b"[ ::1]", b"x" * 255, b"x" * 1000, b"a." * 200 + b"b",
         b"a\0b", b"a\x01b", b"a\x7fb", b"a\rb", b"a\nb", b"example.com\r\n b", b"\r\n example.com", b"example.com\x0b", b"\x0bexample.com", b"localhost", b"unix:/x", b"example.com:80/", b"example.com:80?")

TARGETS = (b"/", b"//", b"///", b"//a", b"/a//b", b"/a/", b"/.", b"/..", b"/./", b"/../", b"/a/.", b"/a/..", b"/a/../b", b"/a/../../b", b"/a/./b", b"/...", b"/a..", b"/..a", b"/.a", b"/%2e", b"/%2e%2e",
           b"/%2E%2e/", b"/.%2e/", b"/a%2f..%2fb", b"/a%2F", b"/a%5c..%5cb", b"/a\\b", b"/..\\", b"\\", b"/%", b"/%4", b"/%zz", b"/%00", b"/a%00b", b"/%0a", b"/%0d%0a", b"/%c0%ae", b"/%c0%af", b"/%ff",
           b"/%u002e", b"/%252e", b"/%41", b"/a;b", b"/a;b=c/d", b"/;/", b"/..;/", b"/a,b", b"/a:b", b"/a@b", b"/a|b", b"/a\"b", b"/a<b>", b"/a`b", b"/a{b}", b"/a^b", b"/a[b]", b"/a#b", b"/#", b"/?#", b"/a?b#c",
           b"/?", b"/??", b"/?a=b&c", b"/?a=/../", b"/?%", b"/?%00", b"/?a b", b"/?a\tb", b"/?a|b\"c<d>", b"/?[]{}^`", b"/?\xc3\xa9", b"/\xc3\xa9", b"/\xff", b"/a b", b"/a\tb", b"/a\x0bb", b"/a\0b", b"/a\x7fb", b"/a\rb",
           b"/a\nb", b"/a\x01b", b"?", b"?a", b"#", b"a", b"a/b", b"./a", b"../a", b"*", b"*/", b"/*", b"**", b"*?a", b"*#", b"http:", b"http:/", b"http://", b"http:///", b"http:///a", b"http://?a", b"http:example.com/",
           b"http:/example.com/", b"http://example.com", b"http://example.com/", b"http://example.com/a?b", b"http://example.com?b", b"http://example.com#b", b"http://example.com/a#b", b"HTTP://EXAMPLE.COM/A",
           b"https://example.com/", b"ftp://example.com/", b"ws://example.com/", b"file:///etc/passwd", b"x://example.com/", b"1http://example.com/", b"ht+tp://example.com/", b"http+x://example.com/", b"-://a/",
           b"http://user@example.com/", b"http://user:pw@example.com/", b"http://@example.com/", b"http://example.com@/", b"http://other.example/", b"http://other.example:81/", b"http://:80/", b"http://example.com:/",
           b"http://example.com:0/", b"http://example.com:65536/", b"http://example.com:x/", b"http://example.com:-1/", b"http://example.com:80:80/", b"http://[::1]/", b"http://[::1]:80/a", b"http://[::1/", b"http://::1/",
           b"http://[]/", b"http://[::g]/", b"http://[v1.a]/", b"http://[::1]x/", b"http://a..b/", b"http://./", b"http://a_b/", b"http://%65xample.com/", b"http://a%00b/", b"http://a b/", b"http://a,b/", b"http://a\\b/",
           b"http://a\\@b/", b"http://\xc3\xa9/", b"http://a/../b", b"http://a/%2e%2e", b"http://a//b", b"http://a;b/", b"http://a|b/", b"http://a\"b/", b"http://a'b/", b"http://*/", b"http://-/", b"http://a&b/", b"http://a/http://b/",
           b"example.com", b"example.com:80", b"example.com:443", b"[::1]:443", b"localhost:80/", b"127.0.0.1:80", b"://example.com/", b"//example.com/a", b"/http://example.com/", b"mailto:a", b"urn:a:b", b"javascript:1",
           b"/" + b"a" * 1000, b"/" + b"a" * 2032, b"/" + b"a" * 2033, b"/" + b"a" * 2034, b"/" + b"a" * 2035, b"/" + b"a" * 2100, b"/" + b"a" * 7900, b"/" + b"a" * 8300, b"/" + b"a/" * 63, b"/" + b"a/" * 64, b"/" + b"a/" * 70)

METHODS = (b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"TRACE", b"CONNECT", b"COPY", b"LOCK", b"MKCOL", b"MOVE", b"PROPFIND", b"PROPPATCH", b"SEARCH",
           b"UNLOCK", b"BIND", b"REBIND", b"UNBIND", b"ACL", b"REPORT", b"MKACTIVITY", b"CHECKOUT", b"MERGE", b"M-SEARCH", b"NOTIFY", b"SUBSCRIBE", b"UNSUBSCRIBE", b"PURGE",
           b"MKCALENDAR", b"LINK", b"UNLINK", b"SOURCE", b"PRI", b"QUERY", b"DESCRIBE", b"ANNOUNCE", b"SETUP", b"PLAY", b"TEARDOWN", b"FLUSH", b"get", b"Get", b"gET", b"GETT", b"GE", b"G", b"", b"XGET",
           b"GET\0", b"\0GET", b"G\0ET", b"GET/", b"GET:", b"GET,", b"G@T", b"GET;", b"\"GET\"", b"(GET)", b"G\xc3\x89T", b"\xffGET", b"GET\x7f", b"GET\x0b", b"0", b"-", b"_", b"!", b"A" * 64, b"A" * 3000,
           b"BASELINE-CONTROL", b"VERSION-CONTROL", b"ORDERPATCH", b"LABEL", b"UPDATE", b"UPDATEREDIRECTREF", b"MKREDIRECTREF", b"MKWORKSPACE", b"UNCHECKOUT", b"CHECKIN", b"INVALID")

VERSIONS = (b"HTTP/1.1", b"HTTP/1.0", b"HTTP/1.2", b"HTTP/1.9", b"HTTP/0.9", b"HTTP/0.0", b"HTTP/0.1", b"HTTP/2.0", b"HTTP/2", b"HTTP/3.0", b"HTTP/9.9", b"HTTP/1", b"HTTP/1.", b"HTTP/.1", b"HTTP/", b"HTTP", b"HTTP/1.10",
            b"HTTP/1.01", b"HTTP/01.1", b"HTTP/001.1", b"HTTP/1.1.1", b"HTTP/11", b"HTTP/1,1", b"HTTP/1-1", b"HTTP/1 .1", b"HTTP/1. 1", b"HTTP/ 1.1", b"HTTP /1.1", b"HTTP/+1.1", b"HTTP/-1.1", b"HTTP/1.-1", b"HTTP/a.b",
            b"HTTP/1.a", b"HTTP/1.1a", b"HTTP/1.1 ", b"HTTP/1.1\t", b"HTTP/1.1\0", b"HTTP/1.1\x0b", b"HTTP/1.1\r", b"HTTP/1.1 HTTP/1.1", b"http/1.1", b"Http/1.1", b"hTTP/1.1", b"HTTPS/1.1", b"HTTP\\1.1", b"XHTTP/1.1",
            b"ICE/1.0", b"RTSP/1.0", b"SIP/2.0", b"SHTTP/1.1", b"1.1", b"", b" ", b"HTTP/\xb1.1", b"HTTP/1.\xb1", b"HTTP/4294967297.1", b"HTTP/1.4294967297", b"HTTP/256.1", b"HTTP/257.1", b"HTTP/1.256", b"HTTP1.1", b"H", b"HTTP/1.1/")

EXPECTATIONS = (b"100-continue", b"100-Continue", b"100-CONTINUE", b"100-continue ", b" 100-continue", b"100-continue,", b",100-continue", b"100-continue, 100-continue", b"100-continue;a=b",
                b"100-continue; q=1", b"100-continu", b"100-continuee", b"100", b"200-ok", b"x", b"", b"x=y", b"x=\"y\"", b"100-continue, x", b"x, 100-continue", b"\"100-continue\"", b"100-continue\x0b", b"100-continue\0",
                b"100 continue", b"100_continue", b"100-continue\r\n ", b"\r\n 100-continue")

CONNECTIONS = (b"close", b"Close", b"CLOSE", b"close ", b"close\t", b" close", b"close,", b",close", b"close, close", b"keep-alive", b"Keep-Alive", b"keep-alive, close", b"close, keep-alive", b"keep-alive\r\nConnection: close",
               b"close\r\nConnection: keep-alive", b"closed", b"unclose", b"x close", b"close x", b"close;", b"\"close\"", b"close\0", b"clo\0se", b"close\x0b", b"x", b"", b",", b"x, y", b"host", b"content-length", b"transfer-encoding",
               b"Host, Content-Length", b"TE", b"te, close", b"upgrade", b"Upgrade, close", b"close\r\n ", b"\r\n close", b"proxy-connection", b"keep-alive;timeout=5", b"clo se", b"close/1", b"close=1", b"c\xcc\xa7lose", b"close\xa0")

UPGRADES = (b"websocket", b"WebSocket", b"h2c", b"HTTP/2.0", b"TLS/1.0", b"TLS/1.2, HTTP/1.1", b"foo/2", b"foo", b"", b",", b"foo, websocket", b"websocket\r\nUpgrade: h2c", b"web socket", b"\"websocket\"", b"/13", b"websocket\0", b"websocket\x0b",
            b"websocket/13", b"x" * 300)

# Header lines that come to nothing or to everything, by who reads them.
LINES = (b"X", b"X ", b": x", b":", b" : x", b"X : y", b"X\t: y", b"X\0: y", b"X:", b"X: ", b"X:\t", b"X:y", b"X::y", b"X:  y  ", b"X:\ty\t", b" X: y", b"\tX: y", b"X Y: z", b"X\tY: z", b"X: y\r\n z", b"X: y\r\n\tz", b"X:\r\n y", b"X:\r\n", b"X: y\r\n ",
         b"X: y\r\n\t", b"X: y\r\n \r\n z", b"X: y\n z", b"X: y\n", b"X: y\r", b"X: y\rZ: w", b"X: y\nZ: w", b"X: y\r\r\nZ: w", b"X:\rZ: w", b"X:\nZ: w", b"X: \rZ: w", b"X: y\0", b"X: \0y", b"X: y\x01z", b"X: y\x08z", b"X: y\x0bz", b"X: y\x0cz",
         b"X: y\x1bz", b"X: y\x7fz", b"X: y\x80z", b"X: y\xffz", b"X: \xc3\xa9", b"\xc3\xa9: y", b"X\x80: y", b"X\x7f: y", b"X\x01: y", b"(X): y", b"X/Y: z", b"X@Y: z", b"X,Y: z", b"X;Y: z", b"X=Y: z", b"X?Y: z", b"X\\Y: z", b"X[Y]: z", b"X{Y}: z", b"X\"Y\": z", b"<X>: y",
         b"X_Y: z", b"X.Y: z", b"X|Y: z", b"X~Y: z", b"X!: y", b"X#: y", b"X$: y", b"X%: y", b"X&: y", b"X'Y: z", b"X*: y", b"X+: y", b"X^: y", b"X`: y", b"0: y", b"-: y", b"_: y", b"HTTP/1.1: y", b"GET / HTTP/1.1", b"GET /x: y", b"x" * 300 + b": y", b"X: " + b"y" * 3000,
         b"X: " + b"y" * 4060, b"X: " + b"y" * 4080, b"Cookie: a=b\r\nCookie: c=d", b"Content-Type: a\r\nContent-Type: b", b"Authorization: a\r\nAuthorization: b", b"User-Agent: a\r\nUser-Agent: b", b"Range: bytes=0-,0-,0-", b"If-Modified-Since: x", b"TE: chunked",
         b"TE: trailers", b"Trailer: Host", b"Trailer: X", b"Keep-Alive: timeout=5", b"Proxy-Connection: close", b"Proxy-Connection: keep-alive", b"X-Forwarded-For: a", b"Forwarded: for=a", b"Via: 1.1 x", b"Max-Forwards: 0", b"Max-Forwards: x",
         b"HTTP2-Settings: x", b"X-HTTP-Method-Override: PUT", b"Content-Encoding: gzip", b"Content-Range: bytes 0-1/2", b"Upgrade: x", b"Date: x", b"From: x\r\nFrom: y", b"Accept-Encoding: x;;q", b"Sec-WebSocket-Key: x", b"Content-Length\r\n: 5", b"Content-Length: 5\r\n : 5",
         b"Content-Length_: 5", b"Content_Length: 5", b"content-length:5", b"CONTENT-LENGTH: 5", b"Content-Length:5\r\nX:", b"Content-Length;: 5", b"Content-Length.: 5", b"\"Content-Length\": 5", b"Content-Length:\x0b5", b"Host: b.example", b"host: example.com", b"Host : example.com", b" Host: b",
         b"Host\r\n: x", b"Host_: x", b"H\xc3\xb6st: x")

TRAILERS = LINES[:] + (b"Content-Length: 0", b"Content-Length: 5", b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip", b"Connection: close", b"Upgrade: x", b"Expect: 100-continue", b"Authorization: x", b"Content-Type: x", b"Cache-Control: x",
                       b"Set-Cookie: x", b"0", b"5\r\nhello", b"GET / HTTP/1.1\r\nHost: x")


def shown(piece):
    """A piece of a transcript, short enough for a name, without blanks."""
    text = "".join(chr(byte) if 0x21 <= byte < 0x7F and byte != 0x5C else f"\\x{byte:02x}" for byte in piece)
    return text if len(text) <= 48 else f"{text[:40]}..{len(piece)}"


def cut_and_replaced(template, mark, replacements):
    """`template` with its one `mark` replaced by each of `replacements`."""
    before, after = template.split(mark)
    for piece in replacements:
        yield shown(piece), before + piece + after


def get(lines=b"", target=b"/x", host=HOST, version=b"HTTP/1.1"):
    return b"GET " + target + b" " + version + b"\r\n" + host + lines + b"\r\n"


def post(lines, body, version=b"HTTP/1.1", method=b"POST"):
    return method + b" /x " + version + b"\r\n" + HOST + lines + b"\r\n" + body


def chunked(body):
    return post(b"Transfer-Encoding: chunked\r\n", body)


def with_byte(byte):
    return bytes([byte])


def line_ends():
    head = b"POST /x HTTP/1.1<1>Host: example.com<2>X: y<3>Transfer-Encoding: chunked<4><5>"
    body = b"5<6>hello<7>3;a=b<8>abc<9>0<10>X: y<11><12>"
    whole = head + body
    marks = [b"<%d>" % n for n in range(1, 13)]
    places = ("request-line", "host", "field", "last-field", "head", "size", "data", "extension", "second-data", "last-size", "trailer", "body")
    for mark, place in zip(marks, places):
        template = whole
        for other in marks:
            if other != mark:
                template = template.replace(other, b"\r\n")
        for name, text in cut_and_replaced(template, mark, LINE_ENDS):
            yield f"end-of-{place}:{name}", text
    for place, template in (("request-line-of-get", b"GET /x HTTP/1.1<>" + HOST + b"\r\n"), ("head-of-get", b"GET /x HTTP/1.1\r\n" + HOST + b"<>"),
                            ("field-before-length", b"POST /x HTTP/1.1\r\n" + HOST + b"X: y<>Content-Length: 5\r\n\r\nhello"),
                            ("empty-field-before-length", b"POST /x HTTP/1.1\r\n" + HOST + b"X:<>Content-Length: 5\r\n\r\nhello"),
                            ("head-with-length", post(b"Content-Length: 5\r\n", b"hello").replace(b"5\r\n\r\n", b"5\r\n<>")),
                            ("http10", b"GET /x HTTP/1.0<>\r\n")):
        for name, text in cut_and_replaced(template, b"<>", LINE_ENDS):
            yield f"end-of-{place}:{name}", text


def odd_bytes():
    places = {
        "before-request": b"<>GET /x HTTP/1.1\r\n" + HOST + b"\r\n",
        "in-method": b"G<>ET /x HTTP/1.1\r\n" + HOST + b"\r\n",
        "behind-method": b"GET<> /x HTTP/1.1\r\n" + HOST + b"\r\n",
        "for-first-space": b"GET<>/x HTTP/1.1\r\n" + HOST + b"\r\n",
        "before-target": b"GET <>/x HTTP/1.1\r\n" + HOST + b"\r\n",
        "in-target": b"GET /a<>b HTTP/1.1\r\n" + HOST + b"\r\n",
        "in-query": b"GET /x?a<>b HTTP/1.1\r\n" + HOST + b"\r\n",
        "in-absolute-host": b"GET http://a<>b/x HTTP/1.1\r\n" + HOST + b"\r\n",
        "for-second-space": b"GET /x<>HTTP/1.1\r\n" + HOST + b"\r\n",
        "before-version": b"GET /x <>HTTP/1.1\r\n" + HOST + b"\r\n",
        "for-slash-of-version": b"GET /x HTTP<>1.1\r\n" + HOST + b"\r\n",
        "for-major-version": b"GET /x HTTP/<>.1\r\n" + HOST + b"\r\n",
        "for-dot-of-version": b"GET /x HTTP/1<>1\r\n" + HOST + b"\r\n",
        "for-minor-version": b"GET /x HTTP/1.<>\r\n" + HOST + b"\r\n",
        "behind-version": b"GET /x HTTP/1.1<>\r\n" + HOST + b"\r\n",
        "before-first-field": b"GET /x HTTP/1.1\r\n<>" + HOST + b"\r\n",
        "before-name": get(b"<>X: y\r\n"),
        "in-name": get(b"X<>Y: z\r\n"),
        "before-colon": get(b"X<>: y\r\n"),
        "for-colon": get(b"X<>y\r\n"),
        "behind-colon": get(b"X:<>y\r\n"),
        "for-value": get(b"X:<>\r\n"),
        "in-value": get(b"X: a<>b\r\n"),
        "behind-value": get(b"X: y<>\r\n"),
        "before-cr": get(b"X: y<>\r\n", version=b"HTTP/1.0"),
        "for-cr": get(b"X: y<>\n"),
        "for-lf": get(b"X: y\r<>"),
        "between-cr-and-lf": get(b"X: y\r<>\n"),
        "in-host": get(host=b"Host: exa<>mple.com\r\n"),
        "behind-host": get(host=b"Host: example.com<>\r\n"),
        "before-host": get(host=b"Host:<>example.com\r\n"),
        "in-port": get(host=b"Host: example.com:8<>0\r\n"),
        "before-end-of-head": get(b"X: y\r\n<>"),
        "for-end-of-head": b"GET /x HTTP/1.1\r\n" + HOST + b"\r<>",
        "in-length": post(b"Content-Length: 0<>5\r\n", b"hello"),
        "before-length": post(b"Content-Length:<>5\r\n", b"hello"),
        "behind-length": post(b"Content-Length: 5<>\r\n", b"hello"),
        "in-name-of-length": post(b"Content-<>Length: 5\r\n", b"hello"),
        "behind-name-of-length": post(b"Content-Length<>: 5\r\n", b"hello"),
        "before-coding": post(b"Transfer-Encoding:<>chunked\r\n", HELLO + LAST),
        "in-coding": post(b"Transfer-Encoding: chun<>ked\r\n", HELLO + LAST),
        "behind-coding": post(b"Transfer-Encoding: chunked<>\r\n", HELLO + LAST),
        "behind-name-of-coding": post(b"Transfer-Encoding<>: chunked\r\n", HELLO + LAST),
        "before-size": chunked(b"<>5\r\nhello\r\n" + LAST),
        "behind-size": chunked(b"5<>\r\nhello\r\n" + LAST),
        "behind-cr-of-size": chunked(b"5\r<>hello\r\n" + LAST),
        "in-extension-name": chunked(b"5;a<>b\r\nhello\r\n" + LAST),
        "before-extension": chunked(b"5;<>\r\nhello\r\n" + LAST),
        "in-extension-value": chunked(b"5;a=b<>c\r\nhello\r\n" + LAST),
        "in-quoted-extension": chunked(b"5;a=\"b<>c\"\r\nhello\r\n" + LAST),
        "escaped-in-extension": chunked(b"5;a=\"b\\<>c\"\r\nhello\r\n" + LAST),
        "behind-quoted-extension": chunked(b"5;a=\"b\"<>\r\nhello\r\n" + LAST),
        "behind-data": chunked(b"5\r\nhello<>\r\n" + LAST),
        "for-cr-of-data": chunked(b"5\r\nhello<>\n" + LAST),
        "for-crlf-of-data": chunked(b"5\r\nhello<>" + LAST),
        "behind-last-size": chunked(HELLO + b"0<>\r\n\r\n"),
        "for-end-of-body": chunked(HELLO + b"0\r\n\r<>"),
        "for-cr-of-end-of-body": chunked(HELLO + b"0\r\n<>\n"),
        "in-trailer-name": chunked(HELLO + b"0\r\nX<>Y: z\r\n\r\n"),
        "in-trailer-value": chunked(HELLO + b"0\r\nX: y<>z\r\n\r\n"),
        "before-trailer": chunked(HELLO + b"0\r\n<>X: y\r\n\r\n"),
        "behind-trailer": chunked(HELLO + b"0\r\nX: y<>\r\n\r\n"),
        "behind-request": get() + b"<>",
        "behind-body": post(b"Content-Length: 5\r\n", b"hello<>"),
        "behind-chunked-body": chunked(HELLO + LAST + b"<>"),
    }
    for place, template in places.items():
        for name, text in cut_and_replaced(template, b"<>", map(with_byte, BYTES)):
            yield f"byte-{place}:{name}", text


def blanks():
    for place, template in (("before-method", b"<>GET /x HTTP/1.1\r\n" + HOST + b"\r\n"), ("behind-method", b"GET<>/x HTTP/1.1\r\n" + HOST + b"\r\n"),
                            ("behind-target", b"GET /x<>HTTP/1.1\r\n" + HOST + b"\r\n"), ("behind-version", b"GET /x HTTP/1.1<>\r\n" + HOST + b"\r\n"),
                            ("before-name", get(b"<>X: y\r\n")), ("behind-name", get(b"X<>: y\r\n")), ("before-value", get(b"X:<>y\r\n")), ("behind-value", get(b"X: y<>\r\n")),
                            ("before-length", post(b"Content-Length:<>5\r\n", b"hello")), ("behind-length", post(b"Content-Length: 5<>\r\n", b"hello")),
                            ("before-coding", post(b"Transfer-Encoding:<>chunked\r\n", HELLO + LAST)), ("behind-coding", post(b"Transfer-Encoding: chunked<>\r\n", HELLO + LAST)),
                            ("before-size", chunked(b"<>5\r\nhello\r\n" + LAST)), ("behind-size", chunked(b"5<>\r\nhello\r\n" + LAST)), ("behind-last-size", chunked(HELLO + b"0<>\r\n\r\n")),
                            ("before-extension", chunked(b"5;<>a=b\r\nhello\r\n" + LAST)), ("before-equals", chunked(b"5;a<>=b\r\nhello\r\n" + LAST)),
                            ("behind-equals", chunked(b"5;a=<>b\r\nhello\r\n" + LAST)), ("behind-extension", chunked(b"5;a=b<>\r\nhello\r\n" + LAST)),
                            ("before-close", get(b"Connection:<>close\r\n")), ("behind-close", get(b"Connection: close<>\r\n")), ("before-comma", get(b"Connection: close<>,x\r\n")),
                            ("behind-comma", get(b"Connection: x,<>close\r\n")), ("between-requests", get() + b"<>" + NEXT), ("behind-body", post(b"Content-Length: 5\r\n", b"hello<>"))):
        for name, text in cut_and_replaced(template, b"<>", BLANKS):
            yield f"blank-{place}:{name}", text


def framings():
    for value in LENGTHS:
        yield f"length:{shown(value)}", post(b"Content-Length: " + value + b"\r\n", b"hello")
        yield f"length-in-http10:{shown(value)}", post(b"Content-Length: " + value + b"\r\nConnection: keep-alive\r\n", b"hello", b"HTTP/1.0")
        yield f"length-then-five:{shown(value)}", post(b"Content-Length: " + value + b"\r\nContent-Length: 5\r\n", b"hello")
        yield f"length-behind-five:{shown(value)}", post(b"Content-Length: 5\r\nContent-Length: " + value + b"\r\n", b"hello")
        yield f"length-of-get:{shown(value)}", b"GET /x HTTP/1.1\r\n" + HOST + b"Content-Length: " + value + b"\r\n\r\nhello"
    for value in CODINGS:
        line = b"Transfer-Encoding: " + value + b"\r\n"
        yield f"coding:{shown(value)}", post(line, HELLO + LAST)
        yield f"coding-of-get:{shown(value)}", b"GET /x HTTP/1.1\r\n" + HOST + line + b"\r\n" + HELLO + LAST
        yield f"coding-in-http10:{shown(value)}", post(line + b"Connection: keep-alive\r\n", HELLO + LAST, b"HTTP/1.0")
        yield f"coding-then-chunked:{shown(value)}", post(line + b"Transfer-Encoding: chunked\r\n", HELLO + LAST)
        yield f"coding-behind-chunked:{shown(value)}", post(b"Transfer-Encoding: chunked\r\n" + line, HELLO + LAST)
        yield f"coding-then-length:{shown(value)}", post(line + b"Content-Length: 15\r\n", HELLO + LAST)
        yield f"coding-behind-length:{shown(value)}", post(b"Content-Length: 15\r\n" + line, HELLO + LAST)
        yield f"coding-and-short-length:{shown(value)}", post(b"Content-Length: 5\r\n" + line, HELLO + LAST)
    for name in CODING_NAMES:
        line = name + b": chunked\r\n"
        yield f"name-of-coding:{shown(name)}", post(line, HELLO + LAST)
        yield f"name-of-coding-first:{shown(name)}", b"POST /x HTTP/1.1\r\n" + line + HOST + b"\r\n" + HELLO + LAST
        yield f"name-of-coding-with-length:{shown(name)}", post(line + b"Content-Length: 15\r\n", HELLO + LAST)
        yield f"name-of-length:{shown(name.replace(b'Transfer', b'Content').replace(b'Encoding', b'Length'))}", post(
            name.replace(b"Transfer", b"Content").replace(b"Encoding", b"Length") + b": 5\r\n", b"hello")
    for method in METHODS:
        if len(method) > 100:
            continue
        yield f"method-with-length:{shown(method)}", post(b"Content-Length: 5\r\n", b"hello", method=method)
        yield f"method-with-chunks:{shown(method)}", post(b"Transfer-Encoding: chunked\r\n", HELLO + LAST, method=method)
        yield f"method-with-unframed-body:{shown(method)}", post(b"", b"hello", method=method)


def chunks():
    for size in CHUNK_SIZES:
        yield f"size:{shown(size)}", chunked(size + b"\r\nhello\r\n" + LAST)
        yield f"second-size:{shown(size)}", chunked(HELLO + size + b"\r\nhello\r\n" + LAST)
        last = size.replace(b"5", b"0", 1)
        yield f"last-size:{shown(last)}", chunked(HELLO + last + b"\r\n\r\n")
    for n in (65535, 65536, 65537):
        yield f"size-near-limit:{n}", chunked(b"%x\r\n" % n + b"b" * n + b"\r\n" + LAST)
        yield f"length-near-limit:{n}", post(b"Content-Length: %d\r\n" % n, b"b" * n)
    for line in TRAILERS:
        yield f"trailer:{shown(line)}", chunked(HELLO + b"0\r\n" + line + b"\r\n\r\n")
    for n in (1, 2, 63, 64, 65, 100, 101):
        yield f"trailers:{n}", chunked(HELLO + b"0\r\n" + b"".join(b"X-%d: y\r\n" % i for i in range(n)) + b"\r\n")
    for name, body in (("none", LAST), ("only-end", b"\r\n"), ("nothing", b""), ("end-twice", LAST + LAST), ("last-chunk-in-front", LAST + HELLO + LAST), ("no-end", HELLO + b"0\r\n"), ("no-last", HELLO),
                       ("data-too-long", b"4\r\nhello\r\n" + LAST), ("data-too-short", b"6\r\nhello\r\n" + LAST), ("data-two-longer", b"3\r\nhello\r\n" + LAST), ("data-two-shorter", b"7\r\nhello\r\n" + LAST),
                       ("many", b"1\r\nb\r\n" * 300 + LAST), ("many-with-extension", b"1;a=b\r\nb\r\n" * 300 + LAST), ("request-in-data", b"%x\r\n" % len(NEXT) + NEXT + b"\r\n" + LAST),
                       ("request-behind", HELLO + LAST + NEXT), ("end-then-crlf", HELLO + LAST + b"\r\n"), ("end-then-two-crlf", HELLO + LAST + b"\r\n\r\n"), ("end-then-lf", HELLO + LAST + b"\n")):
        yield f"chunks:{name}", chunked(body)


def request_lines():
    for target in TARGETS:
        yield f"target:{shown(target)}", get(target=target)
        yield f"target-of-options:{shown(target)}", b"OPTIONS " + target + b" HTTP/1.1\r\n" + HOST + b"\r\n"
        yield f"target-of-connect:{shown(target)}", b"CONNECT " + target + b" HTTP/1.1\r\n" + HOST + b"\r\n"
        yield f"target-in-http10:{shown(target)}", b"GET " + target + b" HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
    for method in METHODS:
        yield f"method:{shown(method)}", method + b" /x HTTP/1.1\r\n" + HOST + b"\r\n"
    for version in VERSIONS:
        yield f"version:{shown(version)}", get(version=version)
        yield f"version-kept-alive:{shown(version)}", get(b"Connection: keep-alive\r\n", version=version)
        yield f"version-with-length:{shown(version)}", post(b"Content-Length: 5\r\nConnection: keep-alive\r\n", b"hello", version)
        yield f"version-with-chunks:{shown(version)}", post(b"Transfer-Encoding: chunked\r\nConnection: keep-alive\r\n", HELLO + LAST, version)
        yield f"version-without-host:{shown(version)}", b"GET /x " + version + b"\r\n\r\n"
    for count in range(1, 6):
        yield f"leading-crlf:{count}", b"\r\n" * count + get()
        yield f"leading-lf:{count}", b"\n" * count + get()
        yield f"crlf-between:{count}", get() + b"\r\n" * count + NEXT
        yield f"crlf-behind-body:{count}", post(b"Content-Length: 5\r\n", b"hello" + b"\r\n" * count)
        yield f"pipelined:{count}", get() * count + post(b"Content-Length: 5\r\n", b"hello") * count + chunked(HELLO + LAST) * count


def heads():
    for value in HOSTS:
        line = b"Host: " + value + b"\r\n"
        yield f"host:{shown(value)}", get(host=line)
        yield f"host-in-http10:{shown(value)}", get(b"Connection: keep-alive\r\n", host=line, version=b"HTTP/1.0")
        yield f"host-of-absolute:{shown(value)}", get(target=b"http://example.com/x", host=line)
        yield f"host-then-another:{shown(value)}", get(host=line + HOST)
        yield f"host-behind-another:{shown(value)}", get(host=HOST + line)
        if b"\r" not in value and b"\n" not in value:
            yield f"authority:{shown(value)}", get(target=b"http://" + value + b"/x")
    yield "host:missing", get(host=b"")
    yield "host:missing-in-http10", get(b"Connection: keep-alive\r\n", host=b"", version=b"HTTP/1.0")
    yield "host:missing-with-absolute-form", get(target=b"http://example.com/x", host=b"")
    yield "host:three", get(host=HOST * 3)
    for line in LINES:
        yield f"line:{shown(line)}", get(line + b"\r\n")
        yield f"first-line:{shown(line)}", get(host=line + b"\r\n" + HOST)
        yield f"line-before-length:{shown(line)}", post(line + b"\r\nContent-Length: 5\r\n", b"hello")
        yield f"line-behind-coding:{shown(line)}", post(b"Transfer-Encoding: chunked\r\n" + line + b"\r\n", HELLO + LAST)
    for count in (62, 63, 64, 65, 99, 100, 101, 200, 1000):
        yield f"lines:{count}", get(b"".join(b"X-%d: y\r\n" % i for i in range(count)))
    for value in EXPECTATIONS:
        line = b"Expect: " + value + b"\r\n"
        yield f"expect:{shown(value)}", get(line)
        yield f"expect-with-length:{shown(value)}", post(line + b"Content-Length: 5\r\n", b"hello")
        yield f"expect-with-chunks:{shown(value)}", post(line + b"Transfer-Encoding: chunked\r\n", HELLO + LAST)
        yield f"expect-in-http10:{shown(value)}", post(line + b"Connection: keep-alive\r\nContent-Length: 5\r\n", b"hello", b"HTTP/1.0")
        yield f"expect-twice:{shown(value)}", post(b"Expect: 100-continue\r\n" + line + b"Content-Length: 5\r\n", b"hello")
    for value in CONNECTIONS:
        line = b"Connection: " + value + b"\r\n"
        yield f"connection:{shown(value)}", get(line)
        yield f"connection-in-http10:{shown(value)}", get(line, version=b"HTTP/1.0")
        yield f"connection-with-length:{shown(value)}", post(line + b"Content-Length: 5\r\n", b"hello")
        yield f"connection-with-chunks:{shown(value)}", post(line + b"Transfer-Encoding: chunked\r\n", HELLO + LAST)
    for value in UPGRADES:
        line = b"Connection: Upgrade\r\nUpgrade: " + value + b"\r\n"
        yield f"upgrade:{shown(value)}", get(line)
        yield f"upgrade-with-length:{shown(value)}", post(line + b"Content-Length: 5\r\n", b"hello")
        yield f"upgrade-with-chunks:{shown(value)}", post(line + b"Transfer-Encoding: chunked\r\n", HELLO + LAST)
        yield f"upgrade-of-websocket:{shown(value)}", get(line + b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n")
        yield f"upgrade-without-connection:{shown(value)}", get(b"Upgrade: " + value + b"\r\n")


def systematic():
    """All of them. What comes out equal to another transcript counts once, under its first name."""
    transcripts = {}
    seen = set()
    for group in (line_ends, blanks, framings, chunks, request_lines, heads, odd_bytes):
        for name, text in group():
            if text in seen:
                continue
            assert name not in transcripts, name
            seen.add(text)
            transcripts[name] = text
    return transcripts

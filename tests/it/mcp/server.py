"""A little MCP server over stdin and stdout, whose tools go wrong on purpose."""
import json
import os
import sys
import threading
import time

TEXT = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
NONE = {"type": "object"}
TOOLS = ["slow", "echo", "env", "big", "huge", "die", "garbage", "image", "fail", "refuse", "meet"]
lock = threading.Lock()
meeting = threading.Barrier(2)


def say(message):
    with lock:
        sys.stdout.write(json.dumps(message) + "\n")
        sys.stdout.flush()


def text(words):
    return {"content": [{"type": "text", "text": words}]}


def call(name, arguments):
    if name == "echo":
        return text(arguments["text"])
    if name == "env":
        return text(" ".join(f"{key}={value}" for key, value in sorted(os.environ.items())))
    if name == "big":
        return text("".join(f"line {at}\n" for at in range(40_000)))
    if name == "huge":
        return text("x" * (6 << 20))
    if name == "slow":
        time.sleep(60)
    if name == "die":
        sys.stderr.write("farewell\n")
        sys.stderr.flush()
        os._exit(3)
    if name == "garbage":
        with lock:
            sys.stdout.write("Traceback\n\n{no json\n[1, 2]\n" + "=" * 100_000 + "\n")
        return text("among noise")
    if name == "image":
        return {"content": [{"type": "image", "data": "iVBORw0KGgoAAAAN", "mimeType": "image/png"}]}
    if name == "meet":
        try:
            meeting.wait(arguments.get("patience", 20))
        except threading.BrokenBarrierError:
            meeting.reset()
            return text("alone")
        return text("met")
    if name == "fail":
        return {"content": [{"type": "text", "text": "no such row"}], "isError": True}
    return None


def answer(message):
    method, params = message.get("method"), message.get("params", {})
    if method == "initialize":
        info = {"name": "little", "version": "1"}
        say({"jsonrpc": "2.0", "id": message["id"], "result": {
            "protocolVersion": params["protocolVersion"], "capabilities": {"tools": {}}, "serverInfo": info}})
    elif method == "tools/list":
        names = TOOLS + (["extra"] if os.path.exists("extra") else [])
        listed = [{"name": name, "description": f"Does {name}.", "inputSchema": TEXT if name == "echo" else NONE,
                   "annotations": {"readOnlyHint": True}} for name in names]
        say({"jsonrpc": "2.0", "id": message["id"], "result": {"tools": listed}})
    elif method == "tools/call":
        given = call(params["name"], params.get("arguments", {}))
        if given is None:
            say({"jsonrpc": "2.0", "id": message["id"], "error": {"code": -32602, "message": "not with me"}})
        else:
            say({"jsonrpc": "2.0", "id": message["id"], "result": given})


for line in sys.stdin:
    threading.Thread(target=answer, args=(json.loads(line),), daemon=True).start()

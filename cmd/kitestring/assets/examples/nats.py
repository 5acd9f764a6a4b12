# A consumer of kitestring's bus: prints ticks, counts holes and asks the recording for them.
# Python's standard library only; for TLS and credentials take nats-py (pip install nats-py).
import json, os, socket, struct, sys, time, urllib.error, urllib.parse, urllib.request

BUS = os.environ.get("KITESTRING_BUS", "nats://127.0.0.1:4222")
SERVER = os.environ.get("KITESTRING_ADDR", "127.0.0.1:8420")


def messages(subject):
    """Subject, headers and payload of each message; ends with the connection."""
    at = urllib.parse.urlsplit(BUS)
    with socket.create_connection((at.hostname, at.port or 4222), timeout=30) as conn:
        conn.settimeout(None)
        stream = conn.makefile("rb")
        stream.readline()  # INFO
        options = {"verbose": False, "pedantic": False, "headers": True, "name": "example", "lang": "python", "version": "1"}
        conn.sendall(f"CONNECT {json.dumps(options)}\r\nSUB {subject} 1\r\nPING\r\n".encode())
        for line in stream:
            word, *rest = line.decode().split()
            if word == "PING":
                conn.sendall(b"PONG\r\n")
            elif word == "HMSG":  # subject, subscription, bytes of headers, bytes in all
                headers, total = int(rest[-2]), int(rest[-1])
                data = stream.read(total + 2)[:total]
                lines = data[:headers].decode().split("\r\n")[1:]
                yield rest[0], dict(h.split(": ", 1) for h in lines if h), data[headers:]
            elif word == "-ERR":
                sys.exit(line.decode().strip())


def show(frame):
    """Packets in Kite's form: their number, then for each its length and itself."""
    at = 2
    while at < len(frame):
        (length,) = struct.unpack_from(">H", frame, at)
        token, price = struct.unpack_from(">Ii", frame, at + 2)
        print(token, price / 100, flush=True)
        at += 2 + length


def fill(start, end, shard):
    """What the recording has of a hole. What is not newer than the last packet of
    its instrument came over the bus already."""
    query = urllib.parse.urlencode({"from": start, "to": end, "shard": shard})
    frames = 0
    try:
        with urllib.request.urlopen(f"http://{SERVER}/api/v1/recorded?{query}", timeout=60) as answer:
            while head := answer.read(16):  # time, shard, length
                show(answer.read(struct.unpack(">qII", head)[2]))
                frames += 1
        print("the recording has", frames, "messages of that time", flush=True)
    except urllib.error.HTTPError as e:
        print("the recording:", json.load(e)["detail"], flush=True)
    except OSError as e:
        print("the recording:", e, flush=True)


last = {}  # epoch, sequence and time of each subject
while True:
    try:
        for subject, headers, frame in messages("ks.*.md.frame.*"):
            epoch, sequence, received = headers["Ks-Server"] + headers["Ks-Epoch"], int(headers["Ks-Sequence"]), headers["Ks-Received"]
            before = last.get(subject)
            last[subject] = epoch, sequence, received
            if before and before[0] == epoch and sequence != before[1] + 1:
                print("hole:", sequence - before[1] - 1, "messages of", subject, flush=True)
                time.sleep(1)  # until the recording has it
                fill(before[2], received, subject[-1])
            show(frame)
        reason = "the bus closed the connection"
    except OSError as e:
        reason = e
    print("disconnected:", reason, "- trying again", file=sys.stderr)
    time.sleep(1)

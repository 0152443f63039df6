// What a page can do with a hub, without any library. The test says where the hub is, and is told what came of it.

const task = await (await fetch("/test/task")).json(); // {hub, token}: hub is "" when it has the page's own origin

const tell = (path, body) => fetch("/test/" + path, { method: "POST", body: JSON.stringify(body) });

const post = (service, method, type, body) =>
  fetch(`${task.hub}/${service}/${method}`, {
    method: "POST",
    headers: { "Content-Type": type, Authorization: "Bearer " + task.token },
    body,
  });

// envelope puts one byte of flags and four of length in front of a message, as gRPC and Connect streams have it.
function envelope(message) {
  const text = new TextEncoder().encode(JSON.stringify(message));
  const framed = new Uint8Array(5 + text.length);
  new DataView(framed.buffer).setUint32(1, text.length);
  framed.set(text, 5);
  return framed;
}

// envelopes reads {flags, text} from a body while it arrives.
async function* envelopes(response) {
  let rest = new Uint8Array();
  for await (const chunk of chunks(response)) {
    const joined = new Uint8Array(rest.length + chunk.length);
    joined.set(rest);
    joined.set(chunk, rest.length);
    rest = joined;
    while (rest.length >= 5) {
      const end = 5 + new DataView(rest.buffer, rest.byteOffset).getUint32(1);
      if (rest.length < end) break;
      yield { flags: rest[0], text: new TextDecoder().decode(rest.slice(5, end)) };
      rest = rest.slice(end);
    }
  }
  if (rest.length > 0) throw new Error("the stream ends in the middle of an envelope");
}

async function* lines(response) {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of chunks(response)) {
    const parts = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = parts.pop();
    yield* parts;
  }
}

async function* chunks(response) {
  const reader = response.body.getReader();
  try {
    for (let part = await reader.read(); !part.done; part = await reader.read()) yield part.value;
  } finally {
    await reader.cancel(); // ends the call when the page has had enough
  }
}

// Connect: a unary call is plain JSON.
async function call(service, method, message) {
  const response = await post(service, method, "application/json", JSON.stringify(message));
  return { status: response.status, ...(await response.json()) };
}

// Connect: a stream in envelopes; the last one, with flag 2, says how it went.
async function sync(message) {
  const got = { entries: [], end: null };
  const response = await post("ctx.hub.v1.HubService", "Sync", "application/connect+json", envelope(message));
  for await (const { flags, text } of envelopes(response)) {
    const parsed = JSON.parse(text);
    if (flags & 2) got.end = parsed;
    else got.entries.push(...(parsed.entries ?? []));
  }
  return got;
}

// Lines of JSON, live, until an entry with this id has come. Greeted is called when the stream stands.
async function listen(id, greeted) {
  const response = await post("ctx.hub.v1.HubService", "Listen", "application/json", "{}");
  const seen = [];
  for await (const line of lines(response)) {
    if (seen.length === 0) greeted();
    seen.push(...(JSON.parse(line).entries ?? []));
    if (seen.some((e) => e.id === id)) return seen;
  }
  throw new Error("the stream ended");
}

// gRPC-Web in JSON: envelopes, the last of which, with flag 0x80, has the trailers as text. An answer that is nothing
// but an error has them as headers.
async function* grpcWeb(method, message) {
  const response = await post("ctx.hub.v1.HubService", method, "application/grpc-web+json", envelope(message));
  const status = response.headers.get("grpc-status");
  if (status !== null) yield { trailers: "grpc-status: " + status };
  for await (const { flags, text } of envelopes(response)) {
    yield flags & 0x80 ? { trailers: text } : { message: JSON.parse(text) };
  }
}

async function grpcWebCall(method, message) {
  const got = {};
  for await (const part of grpcWeb(method, message)) Object.assign(got, part);
  return got;
}

async function grpcWebListen(id, greeted) {
  const seen = [];
  for await (const { message, trailers } of grpcWeb("Listen", {})) {
    if (trailers) throw new Error(trailers);
    if (seen.length === 0) greeted();
    seen.push(...(message.entries ?? []));
    if (seen.some((e) => e.id === id)) return seen;
  }
  throw new Error("the stream ended");
}

async function everything() {
  const hub = "ctx.hub.v1.HubService";
  const entry = (id) => ({ entries: [{ id, type: "decision", content: "From a page: ü€😀 " + id }] });
  const result = {};
  result.published = await call(hub, "Publish", entry("page-connect"));
  result.refused = await call(hub, "Publish", { entries: [{ id: "page-typo", type: "decison", content: "A typo" }] });
  result.publishedWeb = await grpcWebCall("Publish", entry("page-grpc-web"));
  result.refusedWeb = await grpcWebCall("Publish", { entries: [{ id: "page-typo", type: "decison", content: "A typo" }] });
  result.status = await call(hub, "Status", {});
  result.statusWeb = await grpcWebCall("Status", {});
  result.synced = await sync({});
  const both = new Set();
  const greeted = (name) => () => both.add(name).size === 2 && tell("listening", {});
  const listeners = [listen("live", greeted("connect")), grpcWebListen("live", greeted("grpc-web"))];
  [result.heard, result.heardWeb] = await Promise.all(listeners);
  return result;
}

try {
  await tell("result", await everything());
} catch (error) {
  await tell("result", { error: String(error) });
}

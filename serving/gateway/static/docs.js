// The API page: draws /openapi.json, and sends what people try. No framework, nothing from elsewhere.
"use strict";

const TOKEN = "stagedoor.token";
let spec = null;

/** An element with attributes and children; text goes in as text, never as markup. */
function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** JSON for people: lists of plain values stay on one line. */
function pretty(value) {
  return JSON.stringify(value, null, 2).replace(/\[\s+([^[\]{}]*?)\s+\]/g, (_, inside) => "[" + inside.replace(/,\s+/g, ", ") + "]");
}

/** Text in which `backticks` mark code. */
const prose = (text) => (text || "").split("`").map((part, index) => (index % 2 ? el("code", {}, part) : part));

const code = (text) => el("pre", { tabindex: "0" }, el("code", {}, text));
const anchor = (operation) => "op-" + operation.id;

function resolve(schema) {
  return schema && schema.$ref ? spec.components.schemas[schema.$ref.split("/").pop()] : schema;
}

/** A schema in a few words: `[Tensor]`, `integer | null`. */
function typeOf(schema) {
  if (!schema) return "any";
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.anyOf || schema.allOf || schema.oneOf) {
    return (schema.anyOf || schema.allOf || schema.oneOf).map(typeOf).join(" | ");
  }
  if (schema.type === "array") return "[" + typeOf(schema.items) + "]";
  if (Array.isArray(schema.type)) return schema.type.join(" | ");
  if (schema.type === "object" && schema.additionalProperties) return "{name: " + typeOf(schema.additionalProperties) + "}";
  return schema.type || "any";
}

function fieldsTable(schema) {
  const properties = Object.entries((schema && schema.properties) || {});
  if (!properties.length) return null;
  const required = new Set(schema.required || []);
  return el("table", {},
    el("thead", {}, el("tr", {}, el("th", {}, "Field"), el("th", {}, "Type"), el("th", {}, "Meaning"))),
    el("tbody", {}, ...properties.map(([name, field]) => el("tr", {},
      el("td", {}, el("code", {}, name), required.has(name) ? "" : " optional"),
      el("td", {}, typeOf(field)),
      el("td", {}, ...prose(field.description))))));
}

function operations() {
  const found = [];
  for (const [path, item] of Object.entries(spec.paths)) {
    for (const method of ["get", "post"]) {
      if (item[method]) {
        const parameters = [...(item.parameters || []), ...(item[method].parameters || [])];
        found.push({ path, method, id: item[method].operationId, parameters, ...item[method] });
      }
    }
  }
  return found;
}

function badge(method) {
  return el("span", { class: "method " + method }, method.toUpperCase());
}

function drawContents(all) {
  const nav = document.getElementById("contents");
  for (const tag of spec.tags) {
    nav.append(el("h3", {}, tag.name), el("ul", {}, ...all.filter((one) => one.tags[0] === tag.name).map((one) =>
      el("li", {}, el("a", { href: "#" + anchor(one) }, badge(one.method), el("span", { class: "path" }, one.path))))));
  }
}

function drawOperations(all) {
  const place = document.getElementById("operations");
  place.replaceChildren();
  for (const tag of spec.tags) {
    place.append(el("h2", {}, tag.name), el("p", { class: "tag-text" }, tag.description));
    place.append(...all.filter((one) => one.tags[0] === tag.name).map(drawOperation));
  }
}

function drawOperation(one) {
  const details = el("details", { class: "op", id: anchor(one) },
    el("summary", {}, badge(one.method), el("span", { class: "path" }, one.path),
      one.security ? el("span", { class: "lock" }, "token") : null, el("span", { class: "summary" }, one.summary)));
  details.addEventListener("toggle", () => {
    if (details.open && details.children.length === 1) details.append(drawBody(one));
  });
  return details;
}

function drawBody(one) {
  const body = el("div", { class: "body" });
  const request = one.requestBody && one.requestBody.content["application/json"];
  const [status, answer] = Object.entries(one.responses).find(([number]) => number.startsWith("2"));
  const [media, content] = Object.entries(answer.content || {})[0] || [];
  const left = el("div", {});
  if (request) {
    left.append(el("h3", {}, "Request"), el("p", { class: "hint" }, Object.keys(one.requestBody.content).join(", ")));
    left.append(fieldsTable(resolve(request.schema)) || "");
  }
  const right = el("div", {}, el("h3", {}, "Answer"), el("p", { class: "hint" }, status + " · " + media));
  right.append(fieldsTable(resolve(content && content.schema)) || "");
  if (content && content.example) right.append(code(pretty(content.example)));
  body.append(request ? el("div", { class: "cols" }, left, right) : right);
  body.append(drawProblems(one), drawTry(one, request));
  return body;
}

function drawProblems(one) {
  const statuses = Object.keys(one.responses).filter((status) => !status.startsWith("2"));
  if (!statuses.length) return "";
  const marks = statuses.map((status) => el("span", { class: "status s" + status[0] }, status));
  return el("p", { class: "actions" }, el("a", { href: "/problems" }, "Problems:"), ...marks);
}

function drawTry(one, request) {
  const inputs = one.parameters.filter((parameter) => parameter.in !== "header").map((parameter) => {
    const input = el("input", { placeholder: parameter.in === "query" ? "optional" : parameter.name, "data-model": parameter.name, list: "model-names" });
    return { parameter, input };
  });
  const text = request ? el("textarea", { spellcheck: "false", "aria-label": "Request body" }) : null;
  if (text) text.value = request.example ? pretty(request.example) : "{}";
  const result = el("div", { class: "result", "aria-live": "polite" });
  const send = el("button", { type: "submit" }, "Send");
  const fill = text && el("button", { type: "button", class: "plain", onclick: () => fillExample(one, inputs, text, result) }, "Example for this model");
  const copy = el("button", { type: "button", class: "plain", onclick: () => copyCurl(copy, one, inputs, text) }, "Copy as curl");
  return el("form", { class: "try", onsubmit: (event) => { event.preventDefault(); attempt(one, inputs, text, result, send); } },
    el("h3", {}, "Try it"),
    inputs.length ? el("div", { class: "fields" }, ...inputs.map(({ parameter, input }) =>
      el("label", {}, parameter.name, input, el("span", { class: "hint" }, ...prose(parameter.description))))) : null,
    text, el("div", { class: "actions" }, send, fill, copy), result);
}

/** A body that fits the model: zeros in the shape that its signature asks for. */
async function fillExample(one, inputs, text, result) {
  const value = (name) => (inputs.find((item) => item.parameter.name === name) || { input: { value: "" } }).input.value.trim();
  const ref = value("ref") || value("name") || value("model");
  const address = ref ? "/models/" + ref.split("/").map(encodeURIComponent).join("/") : "/model/info";
  const headers = token() ? { Authorization: "Bearer " + token() } : {};
  const answer = await fetch(address, { headers });
  const body = await answer.json();
  if (!answer.ok) { result.replaceChildren(el("p", {}, body.detail)); return; }
  text.value = pretty(exampleBody(one.path, body.inputs));
}

function exampleBody(path, specs) {
  const shape = (spec) => spec.shape.map((size) => (size < 0 ? 1 : size));
  const blank = (spec) => ({ BYTES: "", BOOL: false }[spec.datatype] ?? 0);
  const filled = (spec, [size, ...rest] = shape(spec)) => (size === undefined ? blank(spec) : Array.from({ length: size }, () => filled(spec, rest)));
  const columns = specs.every((spec) => spec.name && spec.shape.length === 1);
  if (path.startsWith("/v2")) {
    return { inputs: specs.map((spec) => ({ name: spec.name || "input", shape: shape(spec), datatype: spec.datatype, data: filled(spec).flat(Infinity) })) };
  }
  if (path === "/predict") return { data: columns ? [Object.fromEntries(specs.map((spec) => [spec.name, blank(spec)]))] : filled(specs[0]) };
  if (columns) return { dataframe_split: { columns: specs.map((spec) => spec.name), data: [specs.map(blank)] } };
  return { inputs: specs.length === 1 ? filled(specs[0]) : Object.fromEntries(specs.map((spec) => [spec.name, filled(spec)])) };
}

/** The address to call; a model reference keeps its slash and its at sign. */
function addressOf(one, inputs) {
  let path = one.path;
  const query = new URLSearchParams();
  for (const { parameter, input } of inputs) {
    const value = input.value.trim();
    if (parameter.in === "query") { if (value) query.set(parameter.name, value); continue; }
    const written = value.split("/").map(encodeURIComponent).join("/").replaceAll("%40", "@");
    path = path.replace("{" + parameter.name + "}", written);
  }
  return path + (query.size ? "?" + query : "");
}

async function attempt(one, inputs, text, result, send) {
  const missing = inputs.find(({ parameter, input }) => parameter.in === "path" && !input.value.trim());
  if (missing) { missing.input.focus(); result.replaceChildren(el("p", {}, "Say which " + missing.parameter.name + ".")); return; }
  send.disabled = true;
  const started = performance.now();
  try {
    const headers = text ? { "Content-Type": "application/json" } : {};
    if (token()) headers.Authorization = "Bearer " + token();
    const answer = await fetch(addressOf(one, inputs), { method: one.method.toUpperCase(), headers, body: text ? text.value : undefined });
    const milliseconds = performance.now() - started;
    const raw = await answer.text();
    showAnswer(result, answer, raw, milliseconds);
  } catch (error) {
    result.replaceChildren(el("p", { class: "s5" }, "The gateway did not answer: " + error.message));
  } finally {
    send.disabled = false;
  }
}

function showAnswer(result, answer, raw, milliseconds) {
  let shown = raw;
  let problem = null;
  if ((answer.headers.get("Content-Type") || "").includes("json")) {
    const value = JSON.parse(raw);
    shown = pretty(value);
    problem = value.code;
  }
  const facts = ["X-Model-Version", "X-Model-Arm", "X-Request-Id"].filter((name) => answer.headers.get(name))
    .map((name) => el("span", {}, name + ": ", el("code", {}, answer.headers.get(name))));
  result.replaceChildren(el("div", { class: "line" },
    el("span", { class: "status s" + String(answer.status)[0] }, answer.status), el("span", {}, milliseconds.toFixed(1) + " ms"), ...facts,
    problem ? el("a", { href: "/problems/" + encodeURIComponent(problem) }, "what this means") : null), code(shown.slice(0, 200000)));
}

async function copyCurl(button, one, inputs, text) {
  const quoted = (value) => "'" + value.replaceAll("'", "'\\''") + "'";
  const parts = ["curl -sS " + quoted(location.origin + addressOf(one, inputs))];
  if (one.security) parts.push("-H \"Authorization: Bearer $TOKEN\"");
  if (text) parts.push("-H 'Content-Type: application/json'", "-d " + quoted(text.value));
  try {
    await navigator.clipboard.writeText(parts.join(" \\\n  "));
    button.textContent = "Copied";
  } catch {
    button.textContent = "The browser does not allow it";
  }
  setTimeout(() => { button.textContent = "Copy as curl"; }, 1500);
}

function drawSchemas() {
  document.getElementById("schemas-title").hidden = false;
  document.getElementById("schemas").append(...Object.entries(spec.components.schemas).map(([name, schema]) =>
    el("details", { class: "schema", id: "schema-" + name }, el("summary", {}, el("span", { class: "path" }, name)),
      el("div", { class: "body" }, fieldsTable(schema) || el("p", { class: "hint" }, typeOf(schema))))));
}

// --- token and models ---

function token() { return document.getElementById("token").value.trim(); }

async function drawModels() {
  const section = document.getElementById("models");
  const hint = document.getElementById("token-hint");
  section.hidden = true;
  if (!token()) return;
  const answer = await fetch("/models", { headers: { Authorization: "Bearer " + token() } });
  const body = await answer.json();
  if (!answer.ok) { hint.textContent = body.detail; return; }
  hint.textContent = "This token sees " + body.models.length + (body.models.length === 1 ? " model." : " models.");
  document.getElementById("model-list").replaceChildren(...body.models.map(drawModel));
  section.hidden = body.models.length === 0;
  const names = el("datalist", { id: "model-names" }, ...body.models.map((model) => el("option", { value: model.name })));
  const old = document.getElementById("model-names");
  if (old) old.replaceWith(names); else document.body.append(names);
}

function drawModel(model) {
  const arms = model.route ? model.route.arms : [];
  const said = arms.map((arm) => arm.name + " " + arm.version + " · " + arm.weight / 100 + " %").join(", ");
  return el("div", { class: "card" }, el("strong", {}, model.name), arms.length ? drawBar(arms) : null,
    el("span", { class: "hint" }, said || "nothing live"));
}

/** Shares as an image: attributes of SVG need no inline style, which the page's policy forbids. */
function drawBar(arms) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  for (const [name, value] of [["viewBox", "0 0 10000 10"], ["preserveAspectRatio", "none"], ["class", "bar"], ["aria-hidden", "true"]]) svg.setAttribute(name, value);
  let left = 0;
  for (const arm of arms) {
    const part = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    for (const [name, value] of [["x", left], ["width", arm.weight], ["height", 10]]) part.setAttribute(name, value);
    svg.append(part);
    left += arm.weight;
  }
  return svg;
}

function openFromHash() {
  const target = location.hash && document.getElementById(location.hash.slice(1));
  if (target && target.tagName === "DETAILS") { target.open = true; target.scrollIntoView(); }
}

async function start() {
  const field = document.getElementById("token");
  field.value = sessionStorage.getItem(TOKEN) || "";
  field.addEventListener("change", () => { sessionStorage.setItem(TOKEN, token()); drawModels(); });
  document.getElementById("token-form").addEventListener("submit", (event) => { event.preventDefault(); field.blur(); });
  spec = await (await fetch("/openapi.json")).json();
  const all = operations();
  drawContents(all);
  drawOperations(all);
  drawSchemas();
  window.addEventListener("hashchange", openFromHash);
  openFromHash();
  await drawModels();
}

start().catch((error) => { document.getElementById("operations").textContent = "The page could not be drawn: " + error.message; });

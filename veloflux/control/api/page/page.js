// Shows openapi.json, and lets one try its calls. Text from the document is only ever set as text.
"use strict";

const byId = (id) => document.getElementById(id);
const SAMPLE_DEPTH = 6;

function make(kind, { text, cls, ...attributes } = {}, ...children) {
  const made = document.createElement(kind);
  if (text !== undefined) made.textContent = text;
  if (cls) made.className = cls;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children.filter(Boolean));
  return made;
}

function follow(api, part) {
  let found = part;
  while (found && found.$ref) found = found.$ref.slice(2).split("/").reduce((at, key) => at[key], api);
  return found || {};
}

// A value of the kind that a schema describes: its own example, or one made of its parts.
function sample(api, schema, depth = 0) {
  const found = follow(api, schema);
  if (found.examples) return found.examples[0];
  if (found.const !== undefined) return found.const;
  if (found.enum) return found.enum[0];
  if (found.default !== undefined) return found.default;
  if (depth > SAMPLE_DEPTH) return null;
  const choice = (found.anyOf || found.oneOf || []).find((each) => each.type !== "null");
  if (choice) return sample(api, choice, depth + 1);
  const type = [found.type].flat()[0];
  if (type === "object") {
    const required = new Set(found.required || []);
    const names = Object.keys(found.properties || {});
    const shown = required.size ? names.filter((name) => required.has(name)) : names;
    return Object.fromEntries(shown.map((name) => [name, sample(api, found.properties[name], depth + 1)]));
  }
  if (type === "array") return found.items ? [sample(api, found.items, depth + 1)] : [];
  if (type === "integer" || type === "number") return found.minimum ?? 0;
  return { string: "", boolean: false }[type] ?? null;
}

function kindOf(api, schema) {
  if (schema && schema.$ref) return schema.$ref.split("/").pop();
  const found = schema || {};
  if (found.enum) return found.enum.join(" | ");
  const choices = found.anyOf || found.oneOf;
  if (choices) return choices.map((each) => kindOf(api, each)).join(" | ");
  if (found.type === "array") return `array of ${kindOf(api, found.items)}`;
  const bounds = ["minimum", "maximum", "minLength", "maxLength", "pattern", "format"]
    .filter((name) => found[name] !== undefined).map((name) => `${name} ${found[name]}`);
  return [[found.type].flat().join(" | "), ...bounds].filter(Boolean).join(", ");
}

function fieldsOf(api, schema, depth = 0) {
  const found = follow(api, schema);
  const choices = (found.anyOf || found.oneOf || []).filter((each) => each.type !== "null");
  if (choices.length === 1) return fieldsOf(api, choices[0], depth);
  if (found.type === "array") return fieldsOf(api, found.items, depth);
  const names = Object.entries(found.properties || {});
  if (!names.length || depth > 1) return null;
  const table = make("table");
  for (const [name, field] of names) {
    const whole = { ...follow(api, field), ...field };
    const about = [whole.description, whole.default !== undefined && `Default: ${JSON.stringify(whole.default)}`];
    const needed = (found.required || []).includes(name) ? " *" : "";
    table.append(make("tr", {}, make("td", {}, make("code", { text: name + needed })),
      make("td", { cls: "quiet", text: kindOf(api, field) }), make("td", { text: about.filter(Boolean).join(" ") })));
  }
  return table;
}

function authorization() {
  const user = byId("user").value;
  const secret = byId("secret").value;
  if (!secret) return null;
  if (!user) return `Bearer ${secret}`;
  const octets = new TextEncoder().encode(`${user}:${secret}`);
  return `Basic ${btoa(String.fromCharCode(...octets))}`;
}

function quoted(text) { return `'${text.replaceAll("'", "'\\''")}'`; }

async function send(method, path, inputs, body, shown) {
  let url = path;
  const query = new URLSearchParams();
  const headers = {};
  for (const { parameter, input } of inputs) {
    if (parameter.in === "path") url = url.replace(`{${parameter.name}}`, encodeURIComponent(input.value));
    else if (input.value !== "" && parameter.in === "query") query.append(parameter.name, input.value);
    else if (input.value !== "") headers[parameter.name] = input.value;
  }
  if ([...query].length) url += `?${query}`;
  const signed = authorization();
  if (body && body.value) headers["Content-Type"] = "application/json";
  const content = body && body.value ? body.value : undefined;
  const words = ["curl", "-i", method === "GET" ? "" : `-X ${method}`, signed && signed.startsWith("Basic") ? `-u ${quoted(byId("user").value)}` : "",
    signed && signed.startsWith("Bearer") ? "-H 'Authorization: Bearer …'" : "",
    ...Object.entries(headers).map(([name, value]) => `-H ${quoted(`${name}: ${value}`)}`),
    content ? `-d ${quoted(content)}` : "", quoted(location.origin + url)];
  const lines = [words.filter(Boolean).join(" "), ""];
  try {
    const answer = await fetch(url, { method, headers: signed ? { ...headers, Authorization: signed } : headers, body: content, credentials: "omit", cache: "no-store", redirect: "error" });
    lines.push(`${answer.status} ${answer.statusText}`);
    for (const [name, value] of answer.headers) lines.push(`${name}: ${value}`);
    const text = await answer.text();
    const isJson = (answer.headers.get("Content-Type") || "").includes("json");
    lines.push("", isJson && text ? JSON.stringify(JSON.parse(text), null, 2) : text);
  } catch (error) {
    lines.push(String(error));
  }
  shown.hidden = false;
  shown.textContent = lines.join("\n");
}

function inputsOf(api, operation, table) {
  return (operation.parameters || []).map((given) => {
    const parameter = follow(api, given);
    const schema = follow(api, parameter.schema);
    const input = schema.enum ? make("select", {}, make("option", { value: "", text: "" }), ...schema.enum.map((each) => make("option", { text: each })))
      : make("input", { placeholder: schema.default !== undefined ? String(schema.default) : kindOf(api, parameter.schema) });
    input.setAttribute("aria-label", parameter.name);
    table.append(make("tr", {}, make("td", {}, make("code", { text: parameter.name + (parameter.required ? " *" : "") })),
      make("td", { cls: "quiet", text: parameter.in }), make("td", {}, input),
      make("td", { text: [parameter.description, kindOf(api, parameter.schema)].filter(Boolean).join(" — ") })));
    return { parameter, input };
  });
}

function details(api, method, path, operation) {
  const parts = make("div");
  if (operation.description) parts.append(make("p", { text: operation.description }));
  const table = make("table");
  const inputs = inputsOf(api, operation, table);
  if (inputs.length) parts.append(make("h3", { text: "Parameters" }), table);
  let body = null;
  if (operation.requestBody) {
    const schema = operation.requestBody.content["application/json"].schema;
    body = make("textarea", { spellcheck: "false", "aria-label": "Body" });
    body.value = JSON.stringify(sample(api, schema), null, 2);
    parts.append(make("h3", { text: "Body" }), fieldsOf(api, schema) || "", body);
  }
  const shown = make("pre", { hidden: "", "aria-live": "polite" });
  const button = make("button", { type: "button", text: "Send" });
  button.addEventListener("click", () => send(method.toUpperCase(), path, inputs, body, shown));
  parts.append(make("p", {}, button), shown, make("h3", { text: "Answers" }));
  for (const [status, given] of Object.entries(operation.responses)) {
    const answer = follow(api, given);
    const [[media, content] = []] = Object.entries(answer.content || {});
    const block = make("details", {}, make("summary", {}, make("code", { text: status }), ` ${answer.description} `, media ? make("span", { cls: "quiet", text: media }) : ""));
    if (content) block.append(fieldsOf(api, content.schema) || make("p", { cls: "quiet", text: kindOf(api, content.schema) }));
    parts.append(block);
  }
  return parts;
}

function show(api) {
  byId("title").textContent = `${api.info.title} ${api.info.version}`;
  const place = byId("operations");
  place.replaceChildren(...api.info.description.split("\n\n").map((text) => make("p", { text: text.replaceAll("`", "") })));
  const contents = byId("contents");
  const found = [];
  for (const { name } of api.tags) {
    const heading = make("h2", { text: name });
    const title = make("h2", { text: name });
    place.append(title);
    contents.append(heading);
    const group = { heading, title, entries: [] };
    found.push(group);
    for (const [path, methods] of Object.entries(api.paths)) {
      for (const [method, operation] of Object.entries(methods)) {
        if (operation.tags[0] !== name) continue;
        const label = () => make("span", { cls: `method ${method}`, text: method.toUpperCase() });
        const block = make("details", { cls: "operation", id: operation.operationId },
          make("summary", {}, label(), make("code", { text: path }), make("span", { cls: "quiet", text: operation.summary })));
        // What is never opened need not be made.
        block.addEventListener("toggle", () => block.childElementCount === 1 && block.append(details(api, method, path, operation)));
        const link = make("a", { href: `#${operation.operationId}` }, label(), path);
        link.addEventListener("click", () => { block.open = true; });
        place.append(block);
        contents.append(link);
        group.entries.push({ block, link, words: `${method} ${path} ${operation.summary}`.toLowerCase() });
      }
    }
  }
  byId("search").addEventListener("input", ({ target }) => {
    for (const { heading, title, entries } of found) {
      for (const { block, link, words } of entries) block.hidden = link.hidden = !words.includes(target.value.toLowerCase());
      heading.hidden = title.hidden = entries.every(({ block }) => block.hidden);
    }
  });
  const asked = byId(location.hash.slice(1));
  if (asked && asked.tagName === "DETAILS") { asked.open = true; asked.scrollIntoView(); }
}

byId("identity").addEventListener("submit", (event) => event.preventDefault());
fetch("openapi.json", { credentials: "omit" })
  .then((answer) => answer.ok ? answer.json() : Promise.reject(new Error(`status ${answer.status}`)))
  .then(show)
  .catch((error) => { byId("operations").replaceChildren(make("p", { text: `The document could not be read: ${error.message}` })); });

// Shows /openapi.json. Everything is put in as text, never as markup.
"use strict";

const METHODS = ["get", "post", "put", "patch", "delete"];
const DEPTH_MAX = 6;
let spec;

function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) made.setAttribute(key, value);
  for (const child of children.flat()) if (child !== null && child !== undefined) made.append(child);
  return made;
}

// `code` between backticks, the rest as it is.
function prose(text) {
  return (text || "").split("`").map((part, index) => (index % 2 ? element("code", {}, part) : part));
}

function resolve(schema) {
  let seen = 0;
  while (schema && schema.$ref && seen++ < 10) {
    schema = schema.$ref.slice(2).split("/").reduce((place, step) => place && place[step], spec);
  }
  return schema || {};
}

function typeOf(schema) {
  if (!schema) return "any";
  if (schema.$ref) return schema.$ref.split("/").pop();
  const choices = schema.oneOf || schema.anyOf;
  if (choices) return choices.map(typeOf).join(" | ");
  if (schema.allOf) return schema.allOf.map(typeOf).join(" & ");
  const type = [].concat(schema.type || "any").map((one) => (one === "array" ? typeOf(schema.items) + "[]" : one));
  return type.join(" | ") + (schema.format ? " (" + schema.format + ")" : "");
}

function bounds(schema) {
  const known = { minimum: "at least", maximum: "at most", maxLength: "characters at most", maxItems: "entries at most" };
  return Object.entries(known).filter(([key]) => schema[key] !== undefined).map(([key, word]) => word + " " + schema[key]).join(", ");
}

function nested(schema) {
  const place = resolve(schema);
  if (place.properties || place.enum) return place;
  if (place.items) return nested(place.items);
  for (const choice of place.oneOf || place.anyOf || place.allOf || []) {
    const found = nested(choice);
    if (found) return found;
  }
  return null;
}

function fields(schema, depth) {
  const whole = resolve(schema);
  if (whole.allOf) return element("div", {}, whole.allOf.map((part) => fields(part, depth)));
  const place = nested(whole);
  if (!place || depth > DEPTH_MAX) return null;
  if (place.enum) return element("p", { class: "soft" }, "one of ", place.enum.map((word) => [element("code", {}, String(word)), " "]).flat());
  const required = new Set(place.required || []);
  const rows = Object.entries(place.properties).map(([name, field]) => {
    const inner = nested(field);
    const detail = inner ? element("details", {}, element("summary", {}, "show")) : null;
    if (detail) detail.addEventListener("toggle", () => { if (detail.children.length === 1) detail.append(fields(field, depth + 1) || ""); });
    return element("tr", {},
      element("td", {}, element("code", {}, name), required.has(name) ? element("span", { class: "required", title: "required" }, " *") : null),
      element("td", {}, element("span", { class: "soft" }, typeOf(field)), " ", prose(field.description), " ", element("span", { class: "soft" }, bounds(field)), detail));
  });
  return element("div", { class: "fields" }, element("table", {}, rows));
}

function content(contents) {
  return Object.entries(contents || {}).map(([media, body]) =>
    element("div", {}, element("p", {}, element("code", {}, media), " ", element("span", { class: "soft" }, typeOf(body.schema))), fields(body.schema || {}, 0)));
}

function operation(path, method, found) {
  const made = element("article", { id: found.operationId },
    element("h3", {}, element("span", { class: "verb " + method }, method), element("span", { class: "path" }, path)),
    element("p", {}, prose([found.summary, found.description].filter(Boolean).join("\n"))));
  if (found.parameters && found.parameters.length) {
    made.append(element("h4", {}, "Parameters"), element("table", {}, found.parameters.map((parameter) =>
      element("tr", {},
        element("td", {}, element("code", {}, parameter.name), parameter.required ? element("span", { class: "required" }, " *") : null),
        element("td", { class: "soft" }, parameter.in),
        element("td", {}, element("span", { class: "soft" }, typeOf(parameter.schema)), " ", prose(parameter.description))))));
  }
  if (found.requestBody) made.append(element("h4", {}, "Body"), ...content(found.requestBody.content));
  made.append(element("h4", {}, "Answers"));
  for (const [status, answer] of Object.entries(found.responses)) {
    const error = !/^[23]/.test(status);
    const row = element("details", error ? {} : { open: "" }, element("summary", {}, status + " "), element("p", {}, prose(answer.description)));
    if (!error) row.append(...content(answer.content));
    made.append(row);
  }
  made.dataset.words = (path + " " + method + " " + found.summary + " " + found.operationId).toLowerCase();
  return made;
}

function show() {
  document.getElementById("title").textContent = spec.info.title + " API " + spec.info.version;
  document.getElementById("about").textContent = spec.info.description;
  const nav = document.getElementById("nav");
  const main = document.getElementById("main");
  main.replaceChildren();
  for (const tag of spec.tags) {
    nav.append(element("h2", {}, tag.name));
    main.append(element("h2", {}, tag.name), element("p", { class: "soft" }, tag.description || ""));
    for (const [path, item] of Object.entries(spec.paths)) {
      for (const method of METHODS.filter((one) => item[one] && (item[one].tags || []).includes(tag.name))) {
        nav.append(element("a", { href: "#" + item[method].operationId }, element("span", { class: "verb " + method }, method + " "), path));
        main.append(operation(path, method, item[method]));
      }
    }
  }
}

function filter(event) {
  const wanted = event.target.value.toLowerCase();
  for (const article of document.querySelectorAll("article")) {
    article.hidden = !article.dataset.words.includes(wanted);
    const link = document.querySelector('nav a[href="#' + article.id + '"]');
    if (link) link.hidden = article.hidden;
  }
}

fetch("/openapi.json").then((answer) => answer.json()).then((found) => {
  spec = found;
  show();
  document.getElementById("filter").addEventListener("input", filter);
  if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView();
}).catch(() => { document.getElementById("main").textContent = "The document could not be loaded."; });

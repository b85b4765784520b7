"use strict";
// The page of the hub. Figures come from the REST interface, where an int64 is a string.

const REFRESH = 3000;
const $ = (id) => document.getElementById(id);
const state = {
  lang: "zh",
  lostAt: null, // when the hub first did not answer, null while it does
  token: "",
  titles: new Map(), // department code -> title
  titlesRead: 0,
  data: {}, // what each panel showed last
  verdict: null,
  asking: false,
  timer: 0,
};

// ---- texts -------------------------------------------------------------

function has(key) { return Object.hasOwn(TEXTS, key); }

function t(key, values = {}) {
  const pair = has(key) ? TEXTS[key] : [key, key];
  return pair[state.lang === "en" ? 1 : 0].replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

function locale() { return state.lang === "en" ? "en-GB" : "zh-CN"; }

// number shows an int64 string, or a dash for what is not one.
function number(text) {
  return /^-?\d+$/.test(text ?? "") ? new Intl.NumberFormat(locale()).format(BigInt(text)) : "–";
}

function percent(rate) {
  return new Intl.NumberFormat(locale(), { style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1 }).format(rate);
}

// instant shows a time as it is in China, wherever the page is read: a licence ends at midnight there.
function instant(text) {
  const at = new Date(text);
  return Number.isNaN(at.getTime()) ? text : at.toLocaleString(locale(), { dateStyle: "medium", timeStyle: "short", timeZone: "Asia/Shanghai" });
}

function ago(text) {
  const seconds = (new Date(text).getTime() - Date.now()) / 1000;
  const format = new Intl.RelativeTimeFormat(locale(), { numeric: "auto" });
  for (const [unit, size] of [["day", 86400], ["hour", 3600], ["minute", 60]]) {
    if (Math.abs(seconds) >= size) return format.format(Math.round(seconds / size), unit);
  }
  return format.format(Math.min(0, Math.round(seconds)), "second");
}

// ---- building the page ---------------------------------------------------

function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.filter((c) => c !== null && c !== undefined));
  return node;
}

function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

const SHAPES = {
  good: "M5.5 10.5l3 3 6-7",
  bad: "M6.5 6.5l7 7M13.5 6.5l-7 7",
  warn: "M10 5.5v5.5M10 13.8v.4",
  idle: "M6 10h8",
  busy: "M10 5.5v9M6.5 11l3.5 3.5 3.5-3.5",
};

// icon has a shape of its own for each tone, so that colour is never all there is.
function icon(tone) {
  return svg("svg", { viewBox: "0 0 20 20", class: "icon " + tone, "aria-hidden": "true" },
    svg("circle", { cx: 10, cy: 10, r: 9, fill: "currentColor" }),
    svg("path", { d: SHAPES[tone], fill: "none", stroke: "#fff", "stroke-width": 2.2, "stroke-linecap": "round", "stroke-linejoin": "round" }));
}

function badge(tone, text) { return el("span", { class: "badge " + tone }, icon(tone), text); }

function figure(label, value, note, tone) {
  return el("div", {}, el("dt", {}, label), el("dd", {}, value, note ? el("small", { class: tone }, note) : null));
}

function head(...columns) {
  return el("thead", {}, el("tr", {}, ...columns.map(([text, numeric]) => el("th", { scope: "col", class: numeric ? "n" : undefined }, text))));
}

function translate() {
  document.documentElement.lang = locale();
  for (const node of document.querySelectorAll("[data-text]")) node.textContent = t(node.dataset.text);
}

// ---- calls ---------------------------------------------------------------

// Problem is an error answer (RFC 9457), or no answer at all.
class Problem extends Error {
  constructor(status, detail, requestId) {
    super(detail);
    this.status = status;
    this.requestId = requestId;
  }
  get text() {
    const first = this.status === 403 ? t("forbidden") + ": " + this.message : this.message;
    return this.requestId ? `${first} (${t("requestId", { id: this.requestId })})` : first;
  }
}

async function call(path, body, reviver) {
  const headers = {};
  if (state.token) headers.Authorization = "Bearer " + state.token;
  if (body) headers["Content-Type"] = "application/json";
  let response, json;
  try {
    response = await fetch(path, { method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body), signal: AbortSignal.timeout(10000), cache: "no-store" });
    json = JSON.parse(await response.text(), reviver);
  } catch {
    throw new Problem(response?.status ?? 0, t("noAnswer"), response?.headers.get("X-Request-Id") ?? "");
  }
  if (!response.ok && !path.startsWith("/readyz")) throw new Problem(response.status, json.detail ?? response.statusText, json.requestId ?? "");
  return json;
}

// ---- panels --------------------------------------------------------------

const READY = { ready: ["good", "ready"], degraded: ["warn", "degraded"], "not ready": ["bad", "notReady"], stopping: ["warn", "stopping"] };

// Intake that has stopped is the first thing that everybody must see.
function overallOf(report) {
  if (report.status === "degraded" && report.parts.some((part) => part.warning === "DISK_FULL")) return ["bad", "intakeStopped"];
  return READY[report.status] ?? ["bad", "unreachable"];
}

function partState(part) {
  if (!part.ok) return ["bad", t("fails")];
  if (!part.warning) return ["good", t("works")];
  return ["warn", t(has("warning." + part.warning) ? "warning." + part.warning : "attention")];
}

function showParts(report) {
  const [tone, word] = overallOf(report);
  overall(tone, t(word));
  $("parts").replaceChildren(...report.parts.map((part) => {
    const [partTone, text] = partState(part);
    return el("li", {},
      icon(partTone),
      el("div", {},
        el("strong", {}, has("part." + part.name) ? t("part." + part.name) : part.name),
        el("small", {}, text + (part.detail ? " · " + part.detail : ""))));
  }));
  $("version").textContent = report.version ? t("version", { v: report.version }) : "";
}

// showUnreachable replaces what was true when the hub answered last: of a hub
// that does not answer nothing is known, so no mark says that it works.
function showUnreachable() {
  overall("bad", t("unreachableSince", { time: state.lostAt.toLocaleTimeString(locale()) }));
  $("parts").replaceChildren(...(state.data.parts?.parts ?? []).map((part) => el("li", {},
    icon("idle"),
    el("div", {}, el("strong", {}, has("part." + part.name) ? t("part." + part.name) : part.name), el("small", {}, t("notKnown"))))));
}

function overall(tone, text) {
  const pill = $("overall");
  const said = tone + text;
  if (pill.dataset.said === said) return; // a live region: say it once
  pill.dataset.said = said;
  pill.className = "pill " + tone;
  pill.replaceChildren(icon(tone), text);
}

function showStorage(s) {
  const distinct = s.storedRows === s.storedDistinct;
  $("storage").replaceChildren(
    figure(t("storedRows"), number(s.storedRows), distinct ? t("allDistinct") : t("notDistinct", { n: number(s.storedDistinct) }), distinct ? "" : "bad"),
    figure(t("duplicates"), number(s.duplicates)),
    figure(t("rejected"), number(s.rejected)),
    figure(t("lag"), number(s.lag)));
  const rows = s.resources ?? [];
  $("storage-table").replaceChildren(
    head([t("resource")], [t("rows"), true], [t("late"), true], [t("lag"), true]),
    el("tbody", {}, ...(rows.length ? rows.map((r) => el("tr", {},
      el("td", { class: "name" }, r.resource),
      el("td", { class: "n" }, number(r.rows)), el("td", { class: "n" }, number(r.late)), el("td", { class: "n" }, number(r.lag))))
      : [el("tr", {}, el("td", { colspan: 4, class: "hint" }, t("noResources")))])));
}

const SOURCE_TONES = {
  SOURCE_STATE_STARTING: "idle", SOURCE_STATE_READING: "busy", SOURCE_STATE_CAUGHT_UP: "good",
  SOURCE_STATE_FAILING: "bad", SOURCE_STATE_BLOCKED: "warn", SOURCE_STATE_PAUSED: "idle", SOURCE_STATE_WAITING: "idle", SOURCE_STATE_STOPPED: "idle",
};
const PROOF_TONES = { PROOF_VERDICT_EQUAL: "good", PROOF_VERDICT_DIFFERENT: "bad", PROOF_VERDICT_FAILED: "warn", PROOF_VERDICT_ASKED: "busy" };

function counts(map) {
  return Object.entries(map ?? {}).map(([rule, n]) => `${has("rule." + rule) ? t("rule." + rule) : rule} ${number(n)}`).join(" · ");
}

function cell(label, value, note) {
  return el("td", { class: "n", "data-label": label }, value, note ? el("small", {}, note) : null);
}

// sourceBadge is the state of a source; one that was read to its end and has
// never given a row is shown as such, since nothing may be there to read.
function sourceBadge(s) {
  if (s.state === "SOURCE_STATE_CAUGHT_UP" && !s.lastReadTime) return badge("idle", t("noRowsYet"));
  return badge(state.lostAt ? "idle" : SOURCE_TONES[s.state] ?? "idle", t(s.state));
}

// lastAsked is when the source last answered: with rows, or that it has no more.
function lastAsked(s) {
  return [s.lastReadTime, s.caughtUpTime].filter(Boolean).sort((a, b) => new Date(a) - new Date(b)).at(-1);
}

// blindSpots says what a proof could not have seen, also one that is green.
function blindSpots(proof) {
  if (!proof?.blindSpots?.length) return null;
  return el("small", {}, t("blind") + ": " + proof.blindSpots.map((code) => (has("blind." + code) ? t("blind." + code) : code)).join(", "));
}

function sourceRows(s) {
  const kind = has("kind." + s.kind) ? t("kind." + s.kind) : s.kind;
  const title = state.titles.get(s.name.split("/")[0]);
  const asked = lastAsked(s);
  const row = el("tr", { class: s.fault ? "with-fault" : undefined },
    el("td", {}, el("span", { class: "name" }, s.name), el("small", {}, [title, kind, s.resource].filter(Boolean).join(" · "))),
    el("td", {}, sourceBadge(s), s.proof ? badge(state.lostAt ? "idle" : PROOF_TONES[s.proof.verdict] ?? "idle", t(s.proof.verdict)) : null, blindSpots(s.proof)),
    cell(t("read"), number(s.read)),
    cell(t("accepted"), number(s.accepted), counts(s.findings)),
    cell(t("rejected"), number(s.rejected), counts(s.rejectedByRule)),
    el("td", { "data-label": t("lastAsked"), title: asked ? instant(asked) : undefined }, asked ? ago(asked) : t("never")));
  if (!s.fault) return [row];
  return [row, el("tr", {}, el("td", { colspan: 6, class: "fault" }, el("p", {}, el("strong", {}, t(has("fault." + s.faultCode) ? "fault." + s.faultCode : "fault") + ": "), s.fault)))];
}

function showSources(answer) {
  const sources = answer.sources ?? [];
  $("sources").replaceChildren(
    head([t("source")], [t("state")], [t("read"), true], [t("accepted"), true], [t("rejected"), true], [t("lastAsked")]),
    el("tbody", {}, ...(sources.length ? sources.flatMap(sourceRows)
      : [el("tr", {}, el("td", { colspan: 6, class: "hint" }, t("noSources")))])));
}

const LICENSE_TONES = { LICENSE_STATUS_VALID: "good", LICENSE_STATUS_SUSPENDED: "warn", LICENSE_STATUS_REVOKED: "bad" };

function showLicenses(answer) {
  $("licenses").replaceChildren(
    figure(t("LICENSE_STATUS_VALID"), number(answer.valid)),
    figure(t("LICENSE_STATUS_SUSPENDED"), number(answer.suspended)),
    figure(t("LICENSE_STATUS_REVOKED"), number(answer.revoked)));
  const newest = answer.licenses ?? [];
  $("newest").replaceChildren(...(newest.length ? newest.map((l) => el("li", {},
    el("code", {}, l.number),
    badge(LICENSE_TONES[l.status] ?? "idle", t(l.status)),
    el("small", {}, l.holderName),
    el("small", { title: instant(l.issueTime) }, l.issueTime ? ago(l.issueTime) : "")))
    : [el("li", { class: "hint" }, t("noLicenses"))]));
}

const INDICATORS = {
  onTimeRate: { note: "onTimeNote", part: (r) => r.decidedOnTime, whole: (r) => r.decided },
  completionRate: { note: "completionNote", part: (r) => r.completed, whole: (r) => r.accepted },
  materialsNotAskedRate: {
    note: "materialsNote",
    part: (r) => String(BigInt(r.materialsRequired ?? 0) - BigInt(r.materialsSubmitted ?? 0)),
    whole: (r) => r.materialsRequired,
  },
};

function showIndex(answer) {
  const name = $("indicator").value;
  const indicator = INDICATORS[name];
  $("index-note").textContent = t(indicator.note);
  const rows = [...(answer.rows ?? [])].sort((a, b) => (b[name] ?? -1) - (a[name] ?? -1));
  if (!rows.length) {
    $("chart").replaceChildren(el("p", { class: "hint" }, t("noIndex")));
    return;
  }
  if (answer.total) rows.unshift({ ...answer.total, all: true });
  const width = Math.max(300, $("chart").clientWidth - 2);
  const narrow = width < 520;
  const labelWidth = narrow ? 0 : Math.min(190, width * 0.28);
  const valueWidth = narrow ? 64 : 196;
  const pitch = narrow ? 46 : 32;
  const barWidth = width - labelWidth - valueWidth;
  const chart = svg("svg", { width, height: rows.length * pitch + 4, role: "list", "aria-label": t(name) });
  rows.forEach((row, i) => {
    const label = row.all ? t("total") : state.titles.get(row.group) ?? row.group;
    const rate = row[name];
    const known = typeof rate === "number";
    const count = known ? t("ofCount", { part: number(indicator.part(row)), whole: number(indicator.whole(row)) }) : "";
    const value = known ? percent(rate) : t("noDenominator");
    const top = i * pitch + (narrow ? 20 : 5);
    const middle = top + 15;
    const group = svg("g", { role: "listitem", "aria-label": `${label}: ${value} ${count}` },
      svg("text", { x: 0, y: narrow ? top - 5 : middle, class: row.all ? "total" : "" }, fit(label, narrow ? width - 120 : labelWidth - 10)),
      svg("rect", { x: labelWidth, y: top, width: barWidth, height: 20, rx: 4, class: "track" }));
    if (known) group.append(svg("rect", { x: labelWidth, y: top, width: barWidth * Math.min(1, Math.max(0, rate)), height: 20, rx: 4, class: row.all ? "bar all" : "bar" }));
    group.append(
      svg("text", { x: labelWidth + barWidth + 62, y: middle, "text-anchor": "end", class: known ? (row.all ? "total" : "") : "empty" }, value),
      svg("text", { x: width - 4, y: narrow ? top - 5 : middle, "text-anchor": "end", class: "count" }, count),
      svg("title", {}, `${label}: ${value} ${count}`));
    chart.append(group);
  });
  $("chart").replaceChildren(chart);
}

// fit shortens a label to about so many pixels; the whole one is in the title.
function fit(text, pixels) {
  let used = 0;
  for (let i = 0; i < text.length; i++) {
    used += text.charCodeAt(i) > 0x2e7f ? 14 : 8;
    if (used > pixels) return text.slice(0, Math.max(1, i - 1)) + "…";
  }
  return text;
}

// ---- verification --------------------------------------------------------

const VERDICT_TONES = {
  VERDICT_VALID: "good", VERDICT_EXPIRED: "warn", VERDICT_NOT_YET_VALID: "warn", VERDICT_SUSPENDED: "warn",
  VERDICT_REVOKED: "bad", VERDICT_UNKNOWN: "bad", VERDICT_UNKNOWN_ISSUER: "bad", VERDICT_BAD_SIGNATURE: "bad", VERDICT_MALFORMED: "bad",
};

function showVerdict() {
  const v = state.verdict;
  if (!v) {
    $("verdict").replaceChildren();
    return;
  }
  if (v instanceof Problem) {
    $("verdict").replaceChildren(el("p", { class: "error" }, v.text));
    return;
  }
  const tone = VERDICT_TONES[v.verdict] ?? "idle";
  const advice = v.verdict === "VERDICT_VALID" ? "advice.VALID" : v.verdict === "VERDICT_UNKNOWN" || v.verdict === "VERDICT_MALFORMED" ? "advice.NUMBER" : "advice.CHECK";
  const pairs = [];
  const pair = (key, value) => { if (value) pairs.push(el("dt", {}, key), el("dd", {}, value)); };
  pair(t("number"), v.number);
  pair(t("type"), v.type);
  pair(t("issuer"), v.issuer);
  pair(t("holderName"), v.holderName);
  pair(t("validUntil"), v.validUntil && instant(v.validUntil));
  pair(t("statusAsOf"), v.statusAsOf && instant(v.statusAsOf));
  for (const [name, value] of Object.entries(v.claims ?? {})) pair(name, typeof value === "string" ? value : JSON.stringify(value));
  $("verdict").replaceChildren(el("div", { class: "verdict " + tone },
    el("h3", {}, icon(tone), t(v.verdict)),
    el("p", {}, t(advice)),
    v.detail ? el("p", { class: "hint" }, v.detail) : null,
    pairs.length ? el("dl", { class: "pairs" }, ...pairs) : null));
}

// digits keeps the numbers of the claims as they are written, where the browser can tell.
function digits(_, value, context) {
  return typeof value === "number" && context?.source ? context.source : value;
}

async function verify(event) {
  event.preventDefault();
  const text = $("subject").value.trim();
  if (!text) return;
  const button = event.target.querySelector("button");
  button.disabled = true;
  button.textContent = t("verifying");
  try {
    // A token is a signed JWT: three parts with points, disclosures after "~". A number has none of these.
    const isToken = /^ey[\w-]*\.[\w-]+\.[\w-]+(~.*)?$/s.test(text);
    state.verdict = await call("/v1/licenses:verify", isToken ? { token: text } : { number: text }, digits);
  } catch (problem) {
    state.verdict = problem;
  }
  button.disabled = false;
  button.textContent = t("verifyButton");
  showVerdict();
}

// ---- refreshing ----------------------------------------------------------

const PANELS = [
  { name: "sources", path: "/v1/sources", show: showSources },
  { name: "storage", path: "/v1/storage", show: showStorage },
  { name: "licenses", path: "/v1/licenses?pageSize=5", show: showLicenses },
  { name: "index", path: "/v1/index", show: showIndex },
];

function fail(name, text) {
  const node = $(name + "-error");
  if (node.textContent !== text) node.textContent = text; // an alert: say it once
}

async function refreshParts() {
  try {
    state.data.parts = await call("/readyz");
    const back = state.lostAt !== null;
    state.lostAt = null;
    document.body.classList.remove("stale");
    if (back) redraw();
    else showParts(state.data.parts);
    fail("parts", "");
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    state.lostAt ??= new Date();
    document.body.classList.add("stale");
    redraw();
    fail("parts", problem.text);
  }
}

async function refreshTitles() {
  if (Date.now() - state.titlesRead < 60000) return;
  const answer = await call("/v1/departments?pageSize=1000");
  state.titles = new Map((answer.departments ?? []).map((d) => [d.code, d.title]));
  state.titlesRead = Date.now();
}

async function refreshPanel(panel, token) {
  try {
    const answer = await call(panel.path);
    if (token !== state.token) return;
    state.data[panel.name] = answer;
    panel.show(answer);
    fail(panel.name, "");
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    if (token !== state.token) return;
    if (problem.status === 401) signOut(problem.text);
    else fail(panel.name, problem.text);
  }
}

async function refresh() {
  clearTimeout(state.timer);
  if (state.asking || document.visibilityState !== "visible") return;
  state.asking = true;
  const token = state.token;
  try {
    const work = [refreshParts()];
    if (token) {
      try {
        await refreshTitles();
      } catch (problem) { // codes are shown instead of titles
        if (problem.status === 401) signOut(problem.text);
      }
      if (state.token) work.push(...PANELS.map((panel) => refreshPanel(panel, token)));
    }
    await Promise.all(work);
    if (!state.lostAt) $("updated").textContent = t("updated", { time: new Date().toLocaleTimeString(locale()) });
  } finally {
    state.asking = false;
    state.timer = setTimeout(refresh, token === state.token ? REFRESH : 0);
  }
}

function redraw() {
  translate();
  if (state.lostAt) showUnreachable();
  else if (state.data.parts) showParts(state.data.parts);
  for (const panel of PANELS) {
    if (state.data[panel.name]) panel.show(state.data[panel.name]);
  }
  showVerdict();
}

// ---- signing in ----------------------------------------------------------

function showSignedIn() {
  document.body.classList.toggle("signed-out", !state.token);
  $("signin").hidden = Boolean(state.token);
  $("signout").hidden = !state.token;
}

function signIn(token) {
  state.token = token;
  sessionStorage.setItem("token", token);
  fail("signin", "");
  showSignedIn();
  refresh();
}

function signOut(why = "") {
  state.token = "";
  state.titlesRead = 0;
  state.data = { parts: state.data.parts };
  state.verdict = null;
  sessionStorage.removeItem("token");
  for (const id of ["sources", "storage", "storage-table", "licenses", "newest", "chart", "verdict"]) $(id).replaceChildren();
  for (const panel of PANELS) fail(panel.name, "");
  $("subject").value = "";
  fail("signin", why);
  showSignedIn();
  $("token").focus();
}

// fromAddress takes a token out of "#token=…" and the address bar.
function fromAddress() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given === null) return "";
  history.replaceState(null, "", location.pathname + location.search);
  return given.trim();
}

function setLanguage(lang) {
  state.lang = lang;
  localStorage.setItem("lang", lang);
}

function start() {
  const asked = new URLSearchParams(location.search).get("lang");
  const token = fromAddress();
  setLanguage([asked, localStorage.getItem("lang")].find((l) => l === "en" || l === "zh") ?? "zh");
  state.token = token || sessionStorage.getItem("token") || "";
  if (state.token) sessionStorage.setItem("token", state.token);
  translate();
  showSignedIn();

  $("language").addEventListener("click", () => {
    setLanguage(state.lang === "en" ? "zh" : "en");
    redraw();
  });
  $("signout").addEventListener("click", () => signOut());
  $("signin-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const given = $("token").value.trim();
    $("token").value = "";
    if (given) signIn(given);
  });
  $("verify-form").addEventListener("submit", verify);
  $("indicator").addEventListener("change", () => { if (state.data.index) showIndex(state.data.index); });
  window.addEventListener("resize", () => { if (state.data.index) showIndex(state.data.index); });
  window.addEventListener("hashchange", () => {
    const given = fromAddress();
    if (given) signIn(given);
  });
  document.addEventListener("visibilitychange", refresh);
  refresh();
}

start();

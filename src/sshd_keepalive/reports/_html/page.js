"use strict";
(() => {
  const PAGE = 100;
  const byId = (id) => document.getElementById(id);
  const { parts, hosts } = JSON.parse(byId("details").textContent);
  const table = byId("table");
  const body = table.tBodies[0];
  const form = document.querySelector(".toolbar");
  const [search, group, changed] = ["search", "group", "changed"].map(byId);
  const states = [...form.querySelectorAll("[name=state]")];
  const pager = document.querySelector(".pager");
  const collator = new Intl.Collator("en", { numeric: true });

  // One entry for each host, in the order in which the page was written: the worst first.
  const entries = [...body.rows].map((row, number) => {
    const cell = (index) => row.cells[index].textContent;
    return {
      row,
      host: hosts[number],
      text: row.textContent.toLowerCase(),
      state: cell(1),
      members: new Set((hosts[number].groups ?? []).map((group) => parts[group])),
      name: row.querySelector("button").textContent,
      badness: Number(row.dataset.badness),
      groups: cell(2),
      interval: cell(3) === "" ? -1 : Number(cell(3)),
      count: cell(4) === "" ? -1 : Number(cell(4)),
      why: cell(5),
      changes: Number(cell(6)),
    };
  });
  let shown = entries;
  let ordered = entries;
  let first = 0;

  const made = (tag, text, className) => {
    const element = document.createElement(tag);
    if (text !== undefined) element.textContent = text;
    if (className) element.className = className;
    return element;
  };

  // ------------------------------------------------------------------------------------ filter and page

  const draw = (rows) => {
    body.replaceChildren(...rows.flatMap(({ row, detail }) => (detail ? [row, detail] : [row])));
  };

  const show = () => {
    const last = Math.min(first + PAGE, shown.length);
    draw(shown.slice(first, last));
    pager.hidden = shown.length <= PAGE;
    byId("page").textContent = `${first + 1} to ${last} of ${shown.length}`;
    byId("previous").disabled = first === 0;
    byId("next").disabled = last === shown.length;
  };

  const filter = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const wanted = new Set(states.filter((box) => box.checked).map((box) => box.value));
    shown = ordered.filter(
      (entry) =>
        wanted.has(entry.state) &&
        (!group.value || entry.members.has(group.value)) &&
        (!changed?.checked || entry.changes > 0) &&
        words.every((word) => entry.text.includes(word)),
    );
    first = 0;
    show();
    const all = entries.length === 1 ? "1 host" : `${entries.length} hosts`;
    byId("count").textContent = shown.length === entries.length ? all : `${shown.length} of ${all}`;
  };

  const turn = (by) => {
    first += by * PAGE;
    show();
    table.scrollIntoView({ block: "start" });
  };

  // ----------------------------------------------------------------------------------------------- sort

  const sort = (head) => {
    const key = head.dataset.sort;
    const before = head.getAttribute("aria-sort");
    const numeric = typeof entries[0]?.[key] === "number";
    // What matters stands high: numbers begin with the largest, words with A.
    const descending = before ? before === "ascending" : numeric;
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", descending ? "descending" : "ascending");
    const sign = descending ? -1 : 1;
    const compare = numeric ? (a, b) => a[key] - b[key] : (a, b) => collator.compare(a[key], b[key]);
    ordered = [...entries].sort((a, b) => sign * compare(a, b));
    filter();
  };

  // ----------------------------------------------------------------------------------------- open a host

  const list = (title, numbers) => {
    if (!numbers) return [];
    const items = made("ul");
    items.append(...numbers.map((number) => made("li", parts[number])));
    return [made("h3", title), items];
  };

  const findings = (numbers) => {
    if (!numbers) return [];
    const titles = ["Setting", "For", "Value", "Wanted", "State", "Decided by", "Hides", "Meaning"];
    const found = made("table", undefined, "stack");
    const head = found.createTHead().insertRow();
    for (const title of titles) {
      const cell = made("th", title);
      cell.scope = "col";
      head.append(cell);
    }
    const rows = found.createTBody();
    for (const number of numbers) {
      const row = rows.insertRow();
      parts[number].forEach((text, index) => {
        const cell = row.insertCell();
        cell.dataset.title = titles[index];
        if (text) cell.append(index === 4 ? made("span", text, `word ${text}`) : text);
      });
    }
    const wide = made("div", undefined, "scroll wide");
    wide.append(found);
    return [made("h3", "What was found"), wide];
  };

  const chips = (title, numbers) => {
    if (!numbers) return [];
    const items = made("ul", undefined, "chips");
    for (const [name, verdict] of numbers.map((number) => parts[number])) {
      const item = made("li", `${name} `);
      item.append(made("span", verdict, `word ${verdict}`));
      items.append(item);
    }
    return [made("h3", title), items];
  };

  const diff = (number) => {
    if (number === undefined) return [];
    const block = made("pre");
    block.tabIndex = 0;
    for (const line of parts[number].trimEnd().split("\n")) {
      const head = line.startsWith("+++") || line.startsWith("---");
      const className = head ? "" : { "+": "added", "-": "gone" }[line[0]];
      block.append(made("span", line || " ", className));
    }
    return [made("h3", "What would change"), block];
  };

  const lines = (title, numbers) =>
    numbers ? [made("h3", title), made("pre", numbers.map((number) => parts[number]).join("\n"))] : [];

  const detail = (host, name) => {
    const row = made("tr", undefined, "detail");
    const cell = row.insertCell();
    cell.colSpan = 7;
    cell.append(
      ...list("What went wrong", host.failure),
      ...list("Changed since the last recorded run", host.changes),
      ...findings(host.findings),
      ...lines("Lost sessions", host.losses),
      ...diff(host.diff),
      ...list("What was done", host.steps),
      ...list("Notes", host.notes),
      ...chips("Benchmarks", host.benchmarks),
      ...list("Seen on the host", host.facts),
    );
    if (!cell.hasChildNodes()) cell.append(made("p", `Nothing more is known of ${name}.`));
    return row;
  };

  const toggle = (entry, button) => {
    if (entry.detail) {
      entry.detail.remove();
      entry.detail = undefined;
    } else {
      entry.detail = detail(entry.host, entry.name);
      entry.row.after(entry.detail);
    }
    button.setAttribute("aria-expanded", String(Boolean(entry.detail)));
  };

  // --------------------------------------------------------------------------------------------- events

  const entryOf = new Map(entries.map((entry) => [entry.row, entry]));
  body.addEventListener("click", (event) => {
    const button = event.target.closest("[aria-expanded]");
    if (button) toggle(entryOf.get(button.closest("tr")), button);
  });
  table.tHead.addEventListener("click", (event) => {
    if (event.target.closest("button")) sort(event.target.closest("th"));
  });
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(filter)); // after the fields are reset
  byId("previous").addEventListener("click", () => turn(-1));
  byId("next").addEventListener("click", () => turn(1));
  for (const button of document.querySelectorAll("[data-group]")) {
    button.addEventListener("click", () => {
      group.value = button.dataset.group;
      filter();
      byId("hosts").scrollIntoView();
      byId("hosts").focus({ preventScroll: true });
    });
  }
  addEventListener("beforeprint", () => draw(shown)); // paper has no pages to turn
  addEventListener("afterprint", show);

  document.documentElement.classList.remove("static");
  filter();
})();

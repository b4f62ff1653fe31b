"use strict";
(() => {
  // The columns of a row of the data (htmlRow.data).
  const [ACTION, USER, MODE, LOCKED, PATH, LINE, KEY, PRINT, COMMENT, REASON, DETAIL] = Array(11).keys();
  const STEP = 500;
  const at = (id) => document.getElementById(id);
  const body = at("rows"), more = at("more"), state = at("status"), search = at("search");
  const heads = [...document.querySelectorAll("#table th[data-column]")];
  const locked = at("locked"); // there only where somebody has no key left
  const selects = [...document.querySelectorAll("#controls select")];

  // The data is read when somebody asks for more than the page shows by itself: of a hundred thousand rows that takes a while.
  let data, texts, found;
  let shown = body.rows.length, column = -1, down = false;
  const load = () => {
    if (data) return;
    data = JSON.parse(at("data").textContent);
    texts = data.map((row) => row.join("\n").toLowerCase());
    found = [...data.keys()];
  };

  // What users wrote becomes text, never markup.
  const element = (name, text, className = "") => {
    const e = document.createElement(name);
    e.textContent = text;
    e.className = className;
    return e;
  };
  const cell = (name, ...parts) => {
    const e = document.createElement(name);
    e.append(...parts.filter((part) => part).flatMap((part) => [part, " "]));
    return e;
  };
  const small = (text) => text && element("small", text);
  const tableRow = (row) => {
    const what = element("span", row[ACTION], "what");
    what.dataset.what = row[ACTION];
    const user = cell("th", row[USER], small(row[MODE]), row[LOCKED] && element("span", "no key left", "locked"));
    user.scope = "row";
    const tr = document.createElement("tr");
    tr.append(
      cell("td", what), user,
      cell("td", row[REASON] && element("b", row[REASON]), small(row[DETAIL])),
      cell("td", row[KEY], row[PRINT] && element("code", row[PRINT]), small(row[COMMENT])),
      cell("td", row[PATH], small(row[LINE] && "line " + row[LINE])),
    );
    return tr;
  };

  const tell = () => {
    const of = found.length === data.length ? "" : `, of ${data.length.toLocaleString("en")} in all`;
    state.textContent = `${shown.toLocaleString("en")} of ${found.length.toLocaleString("en")} findings are shown${of}.`;
    more.hidden = shown === found.length;
  };
  const extend = (to) => {
    body.append(...found.slice(shown, to).map((i) => tableRow(data[i])));
    shown = Math.min(to, found.length);
    tell();
  };

  const update = () => {
    load();
    const words = search.value.toLowerCase().split(/\s+/).filter((word) => word);
    const wanted = selects.filter((s) => s.value).map((s) => [Number(s.dataset.column), s.value]);
    found = [...data.keys()].filter((i) =>
      (!locked?.checked || data[i][LOCKED]) && wanted.every(([c, value]) => data[i][c] === value) && words.every((word) => texts[i].includes(word)));
    // The rows are in the order of what presses most, which is that of the column "What" and of rows that are otherwise equal.
    const sign = down ? -1 : 1;
    if (column === ACTION && down) found.reverse();
    if (column > ACTION) {
      found.sort((a, b) => {
        const x = data[a][column], y = data[b][column];
        return x < y ? -sign : x > y ? sign : a - b;
      });
    }
    body.replaceChildren();
    shown = 0;
    extend(STEP);
  };

  for (const head of heads) {
    const button = element("button", head.textContent);
    button.type = "button";
    button.addEventListener("click", () => {
      const same = column === Number(head.dataset.column);
      down = same && !down;
      column = Number(head.dataset.column);
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      update();
    });
    head.replaceChildren(button);
  }
  let timer;
  search.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(update, 120);
  });
  for (const choice of [...selects, locked]) choice?.addEventListener("change", update);
  more.addEventListener("click", () => {
    load();
    extend(shown + STEP);
  });
  const total = Number(at("table").dataset.total);
  at("controls").hidden = false;
  more.hidden = shown === total;
  state.textContent = `${shown.toLocaleString("en")} of ${total.toLocaleString("en")} findings are shown.`;
})();

"""Tables of the page that are sorted by a click on a head: a little script that nothing depends on."""

from __future__ import annotations

import base64
import hashlib

SCRIPT = """
const unit = {B: 1, kB: 1e3, MB: 1e6, GB: 1e9, ms: 1e-3, s: 1, m: 60, h: 3600, d: 86400};
const part = /(-?\\d[\\d,]*(?:\\.\\d+)?)\\s*(GB|MB|kB|B|ms|s|m|h|d)?(?![a-z])/gy;
function value(cell) {
  const text = cell.innerText.trim().replace(/^\\$/, "");
  let sum = null, found;
  part.lastIndex = 0;
  while ((found = part.exec(text))) {
    sum = (sum || 0) + parseFloat(found[1].replaceAll(",", "")) * (unit[found[2]] || 1);
    if (!found[2]) break;
  }
  return sum === null ? text.toLowerCase() : sum;
}
function before(one, other) {
  if (typeof one === typeof other) return one < other ? -1 : one > other ? 1 : 0;
  return typeof one === "number" ? -1 : 1;
}
for (const head of document.querySelectorAll("table thead th")) {
  const body = head.closest("table").tBodies[0];
  const place = head.cellIndex;
  if (body.rows.length < 3 || !head.innerText) continue;
  const sort = () => {
    const down = head.ariaSort === "ascending" || (!head.ariaSort && head.classList.contains("n"));
    for (const each of head.parentNode.cells) each.removeAttribute("aria-sort");
    head.ariaSort = down ? "descending" : "ascending";
    const last = [...body.rows].filter(row => row.className === "total");
    const rows = [...body.rows].filter(row => row.className !== "total");
    const keyed = rows.map(row => [value(row.cells[place]), row]);
    keyed.sort((one, other) => before(one[0], other[0]) * (down ? -1 : 1));
    body.append(...keyed.map(pair => pair[1]), ...last);
  };
  head.classList.add("sorts");
  head.tabIndex = 0;
  head.title = "Sort";
  head.addEventListener("click", sort);
  head.addEventListener("keydown", event => { if (event.key === "Enter") sort(); });
}
"""
"""Sizes, durations, money and plain numbers are sorted as such, the rest as text; a total stays last."""

CSS = """
th.sorts{cursor:pointer}
th[aria-sort=ascending]::after{content:" \\2191"}th[aria-sort=descending]::after{content:" \\2193"}
"""


def sortable(page: str) -> str:
    """The page with the script, which its policy allows by its digest and no other; without a script it
    reads as before."""
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    policy = "style-src 'unsafe-inline'"
    page = page.replace(policy, f"{policy}; script-src 'sha256-{digest}'", 1)
    return page.replace("</body>", f"<script>{SCRIPT}</script></body>", 1)

"""How the page of a diagnosis looks: quiet, by day and by night, also on a phone."""

STYLE = """
:root { --page: #fbfbfa; --card: #ffffff; --ink: #22272e; --soft: #667080;
  --line: #e3e5e8; --bar: #8fb3d4; --hidden: #d5dfe9; --left: #2878c8;
  --right: #d9661f; --middle: #8a8f20; --alert: #b3261e; --good: #2f7d4f; }
@media (prefers-color-scheme: dark) {
  :root { --page: #16181b; --card: #1e2125; --ink: #e4e6e9; --soft: #9aa3af;
    --line: #30353b; --bar: #47719a; --hidden: #33414f; --left: #62aef5;
    --right: #f59a5c; --middle: #c9cf57; --alert: #ff8a80; --good: #7fce9f; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); line-height: 1.5;
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 32px 20px 80px; }
h1 { font-size: 1.7rem; font-weight: 600; line-height: 1.25; margin: 0 0 4px; }
h2 { font-size: 1.2rem; font-weight: 600; margin: 48px 0 12px; }
h3 { font-size: 1rem; font-weight: 600; margin: 28px 0 8px; }
p { margin: 0 0 12px; max-width: 44em; }
.soft, figcaption span, td.soft { color: var(--soft); }
.failure { color: var(--alert); font-weight: 600; overflow-wrap: anywhere; }
.path { color: var(--soft); overflow-wrap: anywhere; font-size: .9rem; }
.panel { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: 18px 20px; margin: 0 0 16px; }
.columns { display: grid; gap: 16px; grid-template-columns: repeat(auto-fit,
  minmax(min(100%, 320px), 1fr)); }
.columns > .panel { margin: 0; min-width: 0; }
@media (min-width: 860px) { .columns.uneven { grid-template-columns: 2fr 3fr; } }
.panel > h3:first-child { margin-top: 0; }
.panel > p:last-of-type { margin: 10px 0 0; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; vertical-align: top; padding: 5px 12px 5px 0;
  border-bottom: 1px solid var(--line); font-weight: 400; }
tr:last-child > * { border-bottom: 0; }
th { color: var(--soft); white-space: nowrap; }
td.number, th.number { text-align: right; }
td.wide { width: 45%; min-width: 44px; } th.legend { white-space: normal; }
@media (max-width: 500px) { .panel { padding: 14px; }
  .scroll { font-size: .82rem; } .scroll th, .scroll td { padding-right: 7px; } }
 td.wide .track { margin-top: 6px; }
.scroll { overflow-x: auto; }
ul { padding-left: 1.2em; margin: 0; } li { margin: 4px 0; overflow-wrap: anywhere; }
.bars { display: grid; grid-template-columns: auto 1fr auto; gap: 6px 12px;
  align-items: center; font-size: .92rem; font-variant-numeric: tabular-nums; }
.track { display: flex; height: 12px; border-radius: 3px; overflow: hidden; }
.track i { background: var(--bar); }
.track i + i, .swatch.h { background: var(--hidden); }
.swatch { display: inline-block; width: .8em; height: .8em; border-radius: 2px;
  background: var(--bar); margin: 0 .3em 0 .8em; }
p > .swatch:first-child, th > .swatch { margin-left: 0; }
.swatch.l { background: var(--left); } .swatch.r { background: var(--right); }
.skeleton { width: 100%; max-height: 420px; }
.skeleton line { stroke-width: 3.5; stroke-linecap: round; stroke: var(--middle); }
.skeleton line.l { stroke: var(--left); } .skeleton line.r { stroke: var(--right); }
.skeleton line.pair { stroke: var(--soft); stroke-width: 1.3; stroke-dasharray: 4 4; }
.joint circle { fill: var(--card); stroke: var(--middle); stroke-width: 2.5; }
.joint.l circle { stroke: var(--left); } .joint.r circle { stroke: var(--right); }
.joint text { font-size: 10px; text-anchor: middle; fill: var(--ink); }
.cards { display: grid; gap: 14px; grid-template-columns: repeat(auto-fill,
  minmax(min(100%, 220px), 1fr)); }
figure { margin: 0; background: var(--card); border: 1px solid var(--line);
  border-radius: 10px; overflow: hidden; display: flex; flex-direction: column; }
figure .shown { display: flex; gap: 2px; height: 230px; background: var(--line); }
figure img { flex: 1; min-width: 0; width: 100%; height: 100%; object-fit: contain; }
figcaption { padding: 10px 12px; font-size: .88rem; overflow-wrap: anywhere; }
figcaption span { display: block; font-size: .82rem; }
.count { color: var(--soft); font-weight: 400; }
details > summary { cursor: pointer; color: var(--soft); margin: 12px 0; }
nav { display: flex; flex-wrap: wrap; gap: 8px; margin: 16px 0 0; padding: 0; }
nav a { color: inherit; text-decoration: none; border: 1px solid var(--line);
  background: var(--card); border-radius: 999px; padding: 4px 12px; font-size: .9rem; }
nav a b { font-weight: 600; } nav a.none { color: var(--soft); }
@media print { nav { display: none; } figure { break-inside: avoid; } }
"""

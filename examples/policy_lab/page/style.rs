//! Colours for light and dark mode, and the layout.

/// The colours differ without red and green, and in lightness.
pub(super) const STYLE: &str = "\
:root{color-scheme:light dark;--back:#fff;--text:#1b1f24;--faint:#6b7280;--line:#d5d9df;\
--primary:#c9dff2;--fallback:#e8a33d;--error:#b3261e;--hot:#e8a33d;--ours:#1d5fa8}\
@media(prefers-color-scheme:dark){:root{--back:#14171a;--text:#e6e8eb;--faint:#9aa3ad;\
--line:#3a4149;--primary:#24405a;--fallback:#a86a10;--error:#ffb3ab;--hot:#8a5a12;--ours:#7db8f0}}\
body{background:var(--back);color:var(--text);font:16px/1.5 system-ui,sans-serif;margin:0}\
main{max-width:1040px;margin:0 auto;padding:24px}\
h1{font-size:26px;margin:0 0 8px}h2{font-size:20px;margin:36px 0 4px}h3{font-size:16px;margin:24px 0 0}\
p{margin:4px 0 12px;max-width:72ch}.what{color:var(--faint);margin:0 0 6px}\
.wide{overflow-x:auto}.wide svg{min-width:860px}table{border-collapse:collapse;font-size:14px;font-variant-numeric:tabular-nums}\
th,td{padding:4px 10px;text-align:right;border-bottom:1px solid var(--line)}\
thead th{vertical-align:bottom}th:first-child{text-align:left;white-space:nowrap;font-weight:500}\
th.ours{color:var(--ours)}td{background:color-mix(in srgb,var(--hot) var(--shade),transparent)}\
td.best{font-weight:700}svg{display:block;width:100%;height:auto}\
svg text{fill:var(--text);font:12px system-ui,sans-serif}svg .faint{fill:var(--faint)}\
svg .ours{fill:var(--ours)}.line{stroke:var(--line);fill:none}.frame{stroke:var(--text);fill:none}\
.p{fill:var(--primary)}.f{fill:var(--fallback)}.e{fill:var(--error)}\
.pair{white-space:nowrap}.key{display:inline-block;width:14px;height:12px;border-radius:2px;margin-left:4px}\
.key.primary{background:var(--primary)}.key.fallback{background:var(--fallback)}\
.key.error{background:var(--error)}\
dl{display:grid;grid-template-columns:max-content 1fr;gap:4px 16px;font-size:14px}\
dt{font-weight:500}dd{margin:0;color:var(--faint)}\
@media(max-width:640px){dl{grid-template-columns:1fr}dd{margin-bottom:6px}}";

"""The style sheets of the pages: inline, light and dark, for wide and for narrow screens."""

from typing import Final

_COLOURS: Final = """
:root{color-scheme:light dark;--paper:#faf9f6;--card:#fff;--ink:#1d2129;--soft:#5b6472;
--line:#e2ded5;--code:#f2efe8;--link:#a35a00;--link-bg:#fdf3e1;--net:#00756a;--net-bg:#e2f4f1;
--tcp:#3c4fc4;--tcp-bg:#e9ecfd;--http:#b02a63;--http-bg:#fce8f0;--sec:#7a3fb0;--sec-bg:#f3e8fb}
@media(prefers-color-scheme:dark){:root{--paper:#14161b;--card:#1b1e25;--ink:#e7e6e2;--soft:#9aa3b2;
--line:#2e333d;--code:#23272f;--link:#f0b25c;--link-bg:#2c2417;--net:#4fd0c0;--net-bg:#152b29;
--tcp:#98a6ff;--tcp-bg:#1f2440;--http:#ff85b3;--http-bg:#361d29;--sec:#cf9cff;--sec-bg:#2b1c3a}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);-webkit-text-size-adjust:100%;
font:1.0625rem/1.6 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",
"Liberation Sans",sans-serif}
code,pre,.v,.mono{
font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace}
"""

PAGE_STYLE: Final = (
    _COLOURS
    + """
.wrap{max-width:47rem;margin:0 auto;padding:0 1.25rem 4rem}
header{padding:3.5rem 0 1.5rem}
.eyebrow{margin:0 0 .6rem;font-size:.8rem;font-weight:600;letter-spacing:.09em;
text-transform:uppercase;color:var(--soft)}
h1{margin:0 0 1rem;font-size:clamp(1.9rem,6.2vw,2.9rem);line-height:1.12;letter-spacing:-.022em;
text-wrap:balance}
.lead{margin:0;font-size:1.17rem;color:var(--soft);text-wrap:pretty}
.lead b{color:var(--ink);font-weight:600}
h2{margin:.1rem 0 .7rem;font-size:1.5rem;line-height:1.25;letter-spacing:-.012em}
h3{margin:2rem 0 .5rem;font-size:1.08rem}
p{margin:.7rem 0;text-wrap:pretty}
code{font-size:.88em;background:var(--code);padding:.1em .35em;border-radius:.3em;
overflow-wrap:anywhere}
a{color:var(--tcp);text-underline-offset:.15em}
section{--c:var(--soft);position:relative;margin:1.4rem 0;padding:1.5rem 1.6rem 1.6rem;
background:var(--card);border:1px solid var(--line);border-radius:1rem;
border-top:4px solid var(--c)}
section .eyebrow{color:var(--c);margin:0 0 .2rem}
.link{--c:var(--link);--bg:var(--link-bg)}.net{--c:var(--net);--bg:var(--net-bg)}
.tcp{--c:var(--tcp);--bg:var(--tcp-bg)}.sec{--c:var(--sec);--bg:var(--sec-bg)}
.http{--c:var(--http);--bg:var(--http-bg)}
figure{margin:1.6rem 0}
figcaption{margin-top:.7rem;font-size:.9rem;color:var(--soft);text-wrap:pretty}
.box{background:var(--bg);border:1.5px solid var(--c);border-radius:.75rem;
padding:.55rem .8rem .8rem}
.box .box{margin-top:.55rem}
.box>b{display:block;color:var(--c);font-size:.82rem;letter-spacing:.02em}
.box>.v{font-size:.86rem;line-height:1.45;overflow-wrap:anywhere}
.arrow{color:var(--c);padding:0 .25em}
.pair{display:grid;grid-template-columns:1fr auto 1fr;gap:.4rem 1rem;align-items:center;
margin:1.1rem 0;padding:1rem 1.1rem;border-radius:.75rem;background:var(--bg)}
.pair small{display:block;color:var(--soft);font-size:.8rem}
.pair .v{font-size:1.02rem;font-weight:600;overflow-wrap:anywhere}
.pair .mid{color:var(--c);font-size:1.4rem}
.port{color:var(--c)}
table{width:100%;border-collapse:collapse;table-layout:fixed;margin:1rem 0 0;font-size:.95rem}
th,td{text-align:left;vertical-align:top;padding:.6rem .9rem .6rem 0;
border-top:1px solid var(--line)}
tr>:last-child{padding-right:0}
th{font-weight:600;width:23%}
th small{display:block;font-weight:400;color:var(--soft);font-size:.82rem}
td.v{width:28%;font-size:.9rem;font-weight:600;color:var(--c)}
td:last-child:not(.v){color:var(--soft)}
pre{margin:1rem 0;padding:1rem 1.1rem;border-radius:.75rem;background:var(--bg);font-size:.86rem;
line-height:1.6;white-space:pre-wrap;overflow-wrap:anywhere}
pre b{color:var(--c)}
pre .n{color:var(--soft)}
ul{padding-left:1.2rem}li{margin:.35rem 0}
.ladder{display:block;width:100%;max-width:38rem;height:auto;margin:1.2rem auto .4rem}
.ladder text{fill:var(--ink);font:600 12px ui-monospace,Menlo,Consolas,"DejaVu Sans Mono",monospace}
.ladder .s{fill:var(--soft);font-size:11px;font-weight:400}
.ladder .life{stroke:var(--line);stroke-width:2}
.ladder .gap{stroke:var(--line);stroke-width:2;stroke-dasharray:2 5}
.ladder .msg{stroke:var(--tcp);stroke-width:2}.ladder .head{fill:var(--tcp)}
.ladder .app .msg{stroke:var(--http)}.ladder .app .head,.ladder .app .name{fill:var(--http)}
.ladder .name{fill:var(--tcp)}
footer{margin-top:2rem;color:var(--soft);font-size:.95rem}
@media(max-width:36rem){header{padding-top:2.2rem}th small{display:inline;margin-left:.4em}
.ladder{width:calc(100% + 1.3rem);margin-inline:-.65rem}
section{padding:1.2rem 1.05rem 1.3rem}
.pair{grid-template-columns:1fr;gap:.15rem}.pair .mid{transform:rotate(90deg);justify-self:start}
.meaning,.meaning tbody,.meaning tr,.meaning th,.meaning td{display:block;width:auto;border:0;
padding:0}.meaning tr{border-top:1px solid var(--line);padding:.65rem 0;display:flex;
flex-wrap:wrap;justify-content:space-between;gap:0 1rem}
.meaning td:last-child:not(.v){flex:1 0 100%}}
"""
)

LISTING_STYLE: Final = (
    _COLOURS
    + """
body{max-width:56rem;margin:0 auto;padding:2.2rem 1.25rem 4rem}
h1{font-size:1.45rem;margin:0 0 1.2rem;overflow-wrap:anywhere;letter-spacing:-.01em}
table{width:100%;border-collapse:collapse;font-size:.98rem}
th{text-align:left;font-size:.8rem;font-weight:600;color:var(--soft);padding:.3rem .8rem .5rem 0}
td{padding:.42rem .8rem .42rem 0;border-top:1px solid var(--line);overflow-wrap:anywhere}
a{color:var(--tcp);text-decoration:none}a:hover{text-decoration:underline}
.size,.when{white-space:nowrap;font-variant-numeric:tabular-nums}.size{text-align:right}
td.size,td.when,p{color:var(--soft);font-size:.9rem}
@media(max-width:34rem){.when{display:none}}
"""
)

// The report's style sheet. Colors are variables with a light and a dark value; text has at least 4.5:1 and lines at
// least 3:1 against their ground (WCAG 2.1, 1.4.3 and 1.4.11); series differ in dashes as well as in hue.
#ifndef MILLRACE_EXECUTOR_OBSERVE_REPORT_STYLE_H_
#define MILLRACE_EXECUTOR_OBSERVE_REPORT_STYLE_H_

namespace millrace {

inline constexpr char kReportStyle[] = R"css(
:root{color-scheme:light dark;--ground:#faf9f7;--panel:#fff;--ink:#1c1e22;--soft:#5b616b;--rule:#e4e1db;--track:#efece7;
--shade:rgba(28,30,34,.16);--accent:#1d5bb8;--good:#17713f;--bad:#b3261e;--warn:#8a5a00;
--s1:#1d5bb8;--s2:#c2450e;--s3:#0d7a6f;--s4:#8b35a3;--s5:#8a6500;--s6:#5b616b}
@media (prefers-color-scheme:dark){:root{--ground:#121417;--panel:#1a1d22;--ink:#e9e7e2;--soft:#a4abb6;--rule:#2d323a;
--track:#262b32;--shade:rgba(0,0,0,.6);--accent:#85b1f7;--good:#62cc8f;--bad:#ff8d83;--warn:#e8bb55;
--s1:#7fadf6;--s2:#f2975f;--s3:#54c7b8;--s4:#d392e3;--s5:#e3bf5b;--s6:#a4abb6}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;scroll-behavior:smooth}
@media (prefers-reduced-motion:reduce){html{scroll-behavior:auto}}
body{margin:0;background:var(--ground);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,
"Noto Sans","Noto Sans CJK SC",sans-serif;font-variant-numeric:tabular-nums;overflow-wrap:break-word}
main,header.top,footer{max-width:1080px;margin:0 auto;padding:0 24px}
header.top{padding-top:48px}
h1{font-size:2.25rem;line-height:1.15;letter-spacing:-.022em;font-weight:680;margin:0 0 6px}
h2{font-size:1.375rem;letter-spacing:-.012em;font-weight:650;margin:0 0 16px}
h3{font-size:1.0625rem;font-weight:640;margin:0 0 8px}
h3 small,h2 small{font-weight:400;color:var(--soft);font-size:.875em;margin-left:.35em}
p{margin:0 0 12px;max-width:72ch}
a{color:var(--accent);text-underline-offset:2px}
small,.note,.soft{color:var(--soft)}
.note{font-size:.8125rem;margin:8px 0 0;max-width:none}
.lead{color:var(--soft);margin:0 0 24px}
section{margin:0 0 24px;padding:28px;background:var(--panel);border:1px solid var(--rule);border-radius:12px}
section>:last-child{margin-bottom:0}
nav{margin:24px 0;display:flex;flex-wrap:wrap;gap:4px 20px;font-size:.9375rem}
nav a{text-decoration:none;padding:4px 0}
nav a:hover,nav a:focus{text-decoration:underline}
.figures{display:flex;flex-wrap:wrap;border:1px solid var(--rule);border-radius:12px;overflow:hidden;margin:0;
background:var(--panel)}
.figures div{flex:1 1 214px;padding:16px 20px;box-shadow:1px 1px 0 0 var(--rule)}
.figures dt{font-size:.8125rem;color:var(--soft);margin:0}
.figures dd{margin:2px 0 0;font-size:1.375rem;line-height:1.3;font-weight:640;letter-spacing:-.015em;white-space:nowrap}
.figures dd small{display:block;font-size:.8125rem;font-weight:400;letter-spacing:0;line-height:1.4;margin-top:3px;white-space:normal}
/* A shadow at the side where there is more: covered by the ground at the end (the two that scroll along). */
.scroll{overflow-x:auto;max-width:100%;background:linear-gradient(90deg,var(--panel) 40%,transparent) 0 0/32px 100%,
linear-gradient(270deg,var(--panel) 40%,transparent) 100% 0/32px 100%,
linear-gradient(90deg,var(--shade),transparent) 0 0/12px 100%,linear-gradient(270deg,var(--shade),transparent) 100% 0/12px 100%;
background-repeat:no-repeat;background-attachment:local,local,scroll,scroll}
table{border-collapse:collapse;width:100%;font-size:.9375rem}
caption{text-align:left;color:var(--soft);font-size:.875rem;padding:0 0 8px}
th,td{text-align:left;vertical-align:baseline;padding:7px 16px 7px 0;border-bottom:1px solid var(--rule)}
th:last-child,td:last-child{padding-right:0}
thead th,thead th.n{white-space:normal}
thead th{font-weight:500;color:var(--soft);font-size:.8125rem;vertical-align:bottom}
tbody th{font-weight:550}
tbody tr:last-child>*{border-bottom:0}
.n{text-align:right;white-space:nowrap}
tr.all>*{font-weight:640;border-top:1px solid var(--soft)}
code,pre,.mono{font-family:ui-monospace,SFMono-Regular,"Cascadia Mono","DejaVu Sans Mono","Noto Sans Mono CJK SC",monospace;
font-size:.8125rem}
pre{white-space:pre-wrap;overflow-wrap:anywhere;background:var(--ground);border:1px solid var(--rule);border-radius:8px;
padding:12px 14px;margin:8px 0 0;max-height:30rem;overflow:auto;line-height:1.5}
.digest{overflow-wrap:anywhere}td.digest{min-width:9rem}
.badge{white-space:nowrap;font-weight:550;font-size:.875rem}
.badge::before{content:"";display:inline-block;width:.55em;height:.55em;border-radius:50%;background:currentColor;
margin-right:.45em;vertical-align:.06em}
.good{color:var(--good)}.bad{color:var(--bad)}.warn{color:var(--warn)}
.cached{color:var(--accent)}.cached::before{background:none!important;border:2px solid currentColor}
.better{color:var(--good)}.worse{color:var(--bad)}
figure{margin:0 0 32px}
figure:last-child{margin-bottom:0}
figcaption{display:flex;flex-wrap:wrap;align-items:baseline;gap:0 24px;margin-bottom:10px}
figcaption h3{margin:0}
.legend{list-style:none;display:flex;flex-wrap:wrap;gap:0 18px;margin:0;padding:0;font-size:.875rem;color:var(--soft)}
.legend b{color:var(--ink);font-weight:600}
.key{width:24px;height:8px;margin-right:7px;vertical-align:.1em}
.plot{display:grid;grid-template-columns:52px 1fr;grid-template-rows:240px 24px}
.plot>svg{width:100%;height:100%;overflow:visible;grid-area:1/2}
.plot .y{position:relative;grid-area:1/1;font-size:.75rem;color:var(--soft)}
.plot .y span{position:absolute;right:10px;transform:translateY(50%);line-height:1;white-space:nowrap}
.plot .x{position:relative;grid-area:2/2;font-size:.75rem;color:var(--soft)}
.plot .x span{position:absolute;top:8px;transform:translateX(-50%);line-height:1;white-space:nowrap}
.plot .x .end{transform:translateX(-100%)}.plot .x .begin{transform:none}
.grid{stroke:var(--rule);stroke-width:1;fill:none;vector-effect:non-scaling-stroke}
.line{fill:none;stroke-width:1.75;stroke-linejoin:round;stroke-linecap:round;vector-effect:non-scaling-stroke}
.band{stroke:none;opacity:.2}
.line.s1{stroke:var(--s1)}.line.s2{stroke:var(--s2);stroke-dasharray:7 4}.line.s3{stroke:var(--s3);stroke-dasharray:2 4}
.line.s4{stroke:var(--s4);stroke-dasharray:10 3 2 3}.line.s5{stroke:var(--s5);stroke-dasharray:14 4}
.line.s6{stroke:var(--s6);stroke-dasharray:1 3}
.band.s1{fill:var(--s1)}.band.s2{fill:var(--s2)}.band.s3{fill:var(--s3)}.band.s4{fill:var(--s4)}.band.s5{fill:var(--s5)}
.band.s6{fill:var(--s6)}
details{margin-top:10px}
summary{cursor:pointer;font-size:.875rem;color:var(--soft);padding:3px 0}
summary:hover{color:var(--ink)}
summary b{color:var(--ink);font-weight:600}
details[open]>summary{margin-bottom:8px}
.bars{display:grid;grid-template-columns:minmax(72px,max-content) 1fr;gap:14px 20px;margin:0 0 24px}
.bars>b{font-weight:600;padding-top:1px}
.bars>b.all{border-top:1px solid var(--rule);padding-top:14px}
.bars>div.all{border-top:1px solid var(--rule);padding-top:14px}
.bar{display:grid;grid-template-columns:1fr 13.5em;gap:12px;align-items:center;font-size:.8125rem;line-height:1.6;color:var(--soft)}
.bar svg{width:100%;height:10px;display:block}
.bar b{color:var(--ink);font-weight:600}
.track{fill:var(--track)}.f1{fill:var(--s1)}.f2{fill:var(--s2)}.f3{fill:var(--s3)}.f6{fill:var(--s6)}.fbad{fill:var(--bad)}
.gantt td.line{padding-right:20px;width:52%;min-width:120px}
.gantt svg{width:100%;height:12px;display:block}
.dag{display:block;margin:0 auto;max-width:100%}
.dag rect{fill:var(--panel);stroke:var(--soft);stroke-width:1.25}
.dag .good rect{stroke:var(--good)}.dag .bad rect{stroke:var(--bad);stroke-width:2}.dag .warn rect{stroke:var(--warn);stroke-dasharray:3 3}
.dag .cached rect{stroke:var(--accent);stroke-dasharray:5 3}
.dag text{fill:var(--ink);font-size:13px;text-anchor:middle;font-weight:600}
.dag text.kind{fill:var(--soft);font-size:11.5px;font-weight:400}
.dag path{fill:none;stroke:var(--soft);stroke-width:1.25;opacity:.75}
.dag .tip{fill:var(--soft);stroke:none;opacity:1}
.two{display:grid;grid-template-columns:repeat(auto-fit,minmax(300px,1fr));gap:24px 40px}
.two>*{min-width:0}
.sub{margin-top:32px}
.sub:first-of-type{margin-top:0}
blockquote{margin:0 0 14px;padding:0 0 0 16px;border-left:3px solid var(--rule)}
blockquote header{font-size:.8125rem;color:var(--soft);margin-bottom:2px;overflow-wrap:anywhere}
blockquote p{white-space:pre-wrap;margin:0;font-size:.9375rem;overflow-wrap:anywhere}
blockquote mark{background:none;color:inherit;font-weight:640}
footer{color:var(--soft);font-size:.8125rem;padding-bottom:48px}
@media (max-width:640px){main,header.top,footer{padding-left:14px;padding-right:14px}header.top{padding-top:24px}
section{padding:20px 16px;border-radius:10px}h1{font-size:1.75rem}h2{font-size:1.2rem}
.figures div{flex-basis:40%;padding:12px 14px}.figures dd{font-size:1.125rem}.optional{display:none}.gantt td.line{min-width:44px}
.bars{grid-template-columns:1fr;gap:2px}.bars>div{margin-bottom:12px}.bar{display:flex;flex-direction:column-reverse;align-items:stretch;gap:0;margin-bottom:4px}
.bars>div.all{border-top:0;padding-top:0}
.plot{grid-template-columns:44px 1fr;grid-template-rows:200px 24px}
th,td{padding-right:12px}.gantt td.line{padding-right:12px}.gantt th,.gantt td{padding-right:10px}.gantt .n{padding-right:0}}
@media print{body{background:none}section{break-inside:avoid;border:0;padding:0}nav{display:none}}
)css";

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_OBSERVE_REPORT_STYLE_H_

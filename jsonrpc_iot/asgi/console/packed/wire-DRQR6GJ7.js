import{b as i,c as p,f as u,i as $,m as e}from"./chunk-IAII2EZ3.js";var f=500,w=300,o=new $(f),l=u(!1),c=u(""),m=()=>{};function h(n){l.value=!l.value,l.value?m=n.onWire(s=>o.push({...s,number:o.count})):m()}function g({link:n}){o.version.value;let s=c.value.toLowerCase(),a=o.newest().filter(t=>t.text.toLowerCase().includes(s)).reverse();return i`<section class="page" aria-labelledby="wire-title">
<h2 id="wire-title">${e("view.wire")}</h2>
<p class="hint">${e("wire.hint")}</p>
<p class="bar">
<button type="button" class=${l.value?"":"primary"} aria-pressed=${l.value} onClick=${()=>h(n)}>${e(l.value?"wire.stop":"wire.start")}</button>
<button type="button" class="quiet" onClick=${()=>o.clear()}>${e("wire.clear")}</button>
<input type="search" aria-label=${e("wire.filter")} placeholder=${e("wire.filter")} value=${c.value}
onInput=${t=>c.value=t.currentTarget.value} />
</p>
<ol class="wire">${a.map(t=>i`<${d} key=${t.number} message=${t} />`)}</ol>
${a.length===0&&i`<p class="hint">${e("wire.none")}</p>`}
</section>`}function d({message:{direction:n,text:s,at:a}}){let[t,v]=p(!1),r=n==="->",b=new Date(a).toISOString().slice(11,23);return i`<li class=${r?"out":"in"}>
<time>${b}</time><span class="way" title=${e(r?"wire.out":"wire.in")}>${r?"\u2192":"\u2190"}</span>
<code>${t?s:s.slice(0,w)}</code>
${s.length>w&&!t&&i`<button type="button" class="quiet" onClick=${()=>v(!0)}>${e("result.all")}</button>`}
</li>`}export{g as default};

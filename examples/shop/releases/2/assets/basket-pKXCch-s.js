import{i as e,n as t,r as n,t as r}from"./index-hPi_m5PV.js";function i(){let e=document.createElement(`div`);return e.className=`text basket`,a(e),e}function a(i){let s=t.map(e=>({...e,n:n().find(t=>t.id===e.id)?.n??0})).filter(e=>e.n>0);if(s.length===0){i.innerHTML=`<h1>Your basket</h1><p class="lead">It is empty, and that is fine too.</p><p><a class="button" href="/">See the three</a></p>`;return}let c=s.reduce((e,t)=>e+t.price*t.n,0);i.innerHTML=`
    <h1>Your basket</h1>
    <ul>${s.map(o).join(``)}</ul>
    <p class="sum"><span>Together</span><b>${r(c)}</b></p>`;for(let t of i.querySelectorAll(`button`))t.addEventListener(`click`,()=>{e(t.dataset.id,Number(t.dataset.change)),a(i)})}function o(e){return`
    <li>
      <img src="${e.image}" alt="" width="72" height="72">
      <div><b>${e.name}</b><span>${r(e.price)}</span></div>
      <div class="count-by">
        <button type="button" data-id="${e.id}" data-change="-1" aria-label="One ${e.name} less">−</button>
        <span>${e.n}</span>
        <button type="button" data-id="${e.id}" data-change="1" aria-label="One ${e.name} more">+</button>
      </div>
    </li>`}export{i as page};
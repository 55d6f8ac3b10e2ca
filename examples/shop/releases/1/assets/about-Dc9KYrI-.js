function e(){let e=document.createElement(`div`);return e.className=`text about`,e.innerHTML=`
    <h1>Two people, one kiln</h1>
    <p class="lead">We throw in the morning, glaze after lunch, and fire on Thursdays. On Fridays we look at what the fire has done.</p>
    <p>The clay comes from eleven kilometres up the river. The glazes are ash, sand and a little iron. Each piece is a bit
      different from the one beside it, and meant to be used every day.</p>
    <dl>
      <div><dt>Since</dt><dd>2009</dd></div>
      <div><dt>Pieces a week</dt><dd>60</dd></div>
      <div><dt>Kilns</dt><dd>1</dd></div>
    </dl>
    <p><a class="button" href="/">See the three</a></p>`,e}export{e as page};
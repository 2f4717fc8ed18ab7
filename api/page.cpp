#include "api/page.h"

namespace wattd::api {

std::string_view status_page() {
  return R"html(<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>wattd</title>
<style>
 body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;color:#1d2430;background:#f6f7f9}
 h1{font-size:1.4rem} h2{font-size:1.05rem;margin:1.6rem 0 .4rem}
 table{border-collapse:collapse;width:100%;background:#fff} td,th{text-align:left;padding:.35rem .7rem;border-bottom:1px solid #e3e6ea}
 .cards{display:flex;gap:.8rem;flex-wrap:wrap} .card{background:#fff;border:1px solid #e3e6ea;border-radius:6px;padding:.6rem 1rem;min-width:8rem}
 .card b{display:block;font-size:1.4rem;font-variant-numeric:tabular-nums} .bad{color:#b3261e} .ok{color:#1b7f3b}
</style>
<h1>wattd <small id="gateway"></small></h1>
<div id="missing"></div><div class="cards" id="cards"></div>
<h2>Devices</h2><table id="devices"></table>
<h2>Sources and sinks</h2><table id="links"></table>
<script>
const $=id=>document.getElementById(id);
const row=(cells,tag='td')=>{const tr=document.createElement('tr');for(const c of cells){const td=document.createElement(tag);
 if(c&&c.text!==undefined){td.textContent=c.text;td.className=c.cls}else td.textContent=c??'';tr.append(td)}return tr};
const state=(good,text)=>({text,cls:good?'ok':'bad'});
async function show(){
 const s=(await (await fetch('/api/v1/status')).json()).data, d=(await (await fetch('/api/v1/devices?page_size=100')).json()).data;
 $('gateway').textContent=s.gateway_id+' · '+s.version;
 $('missing').replaceChildren(...s.missing.map(m=>{const p=document.createElement('p');p.className='bad';p.textContent=m;return p}));
 $('cards').replaceChildren(...[['received',s.pipeline.received],['committed',s.pipeline.committed],['dead letters',s.storage.dead_letters],
  ['alerts',s.pipeline.alerts],['commit p95',s.pipeline.commit_ms_p95.toFixed(1)+' ms']].map(([k,v])=>{const c=document.createElement('div');
  c.className='card';const b=document.createElement('b');b.textContent=v;c.append(b,k);return c}));
 $('devices').replaceChildren(row(['device','type','location','last seen','readings','refused'],'th'),
  ...d.map(x=>row([x.device_id,x.device_type,x.location,x.last_seen,x.readings,x.rejected])));
 $('links').replaceChildren(row(['what','where','state'],'th'),
  ...s.mqtt.map(m=>row(['MQTT '+m.id,m.address,state(m.connected,m.connected?'connected':m.last_error)])),
  ...s.buses.map(b=>row(['bus '+b.id,b.address,state(b.load<.9,Math.round(100*b.load)+' % in use')])),
  ...s.buses.flatMap(b=>b.meters.map(m=>row(['meter '+m.device_id,b.address,state(!m.last_error,m.last_error||m.polls+' polls')]))),
  ...s.sinks.map(k=>row(['sink '+k.id,k.target,state(!k.last_error,k.last_error||k.sent_samples+' samples sent, '+k.behind_segments+' segments behind')])));
}
show();setInterval(()=>show().catch(()=>{}),2000);
</script></html>
)html";
}

}  // namespace wattd::api

// axe on pages: nothing serious or critical.
import {readFile} from 'node:fs/promises';
import {createRequire} from 'node:module';

const source = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** pages looks at each path, and gives what is found and how many rules were passed. */
export async function pages(v, {paths}) {
  const {page} = v;
  v.allow.push(/Failed to load resource.*404/);
  let passed = 0;
  const found = [];
  for (const path of paths) {
    await page.goto(path);
    // Folded parts are looked at as well.
    await page.evaluate(() => document.querySelectorAll('details').forEach((d) => { d.open = true; }));
    await page.evaluate(source);
    const r = await page.evaluate(() => axe.run(document, {resultTypes: ['violations'], iframes: false}));
    passed += r.passes.length;
    for (const f of r.violations) {
      for (const n of f.nodes) found.push(`${path}: ${f.impact}: ${f.id}: ${f.help}: ${n.target.join(' ')}\n    ${n.html.slice(0, 160)}\n    ${(n.any[0] ?? n.all[0] ?? n.none[0])?.message ?? ''}`);
    }
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    if (wide > 0) found.push(`${path}: serious: it is ${wide} px wider than the screen`);
  }
  return {passed, found};
}

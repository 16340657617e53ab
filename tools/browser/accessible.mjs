// axe on pages: nothing serious or critical.
import {readFile} from 'node:fs/promises';
import {createRequire} from 'node:module';

const source = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

const atOnce = 3;
const colors = ['color-contrast', 'link-in-text-block'];

/** pages looks at each path, and gives what is found and how many rules were passed. A
 * page in the dark differs in its colors alone: only those are looked at again. */
export async function pages(v, {paths}) {
  v.allow.push(/Failed to load resource.*404/);
  let passed = 0;
  const found = [];
  const queue = [...paths];
  await Promise.all(Array.from({length: atOnce}, async () => {
    const page = await v.context.newPage();
    for (let path; (path = queue.shift());) {
      await page.emulateMedia({colorScheme: 'light'});
      await page.goto(path);
      // Folded parts are looked at as well.
      await page.evaluate(() => document.querySelectorAll('details').forEach((d) => { d.open = true; }));
      await page.evaluate(source);
      const light = await axe(page);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      if (wide > 0) found.push(`${path}: serious: it is ${wide} px wider than the screen`);
      await page.emulateMedia({colorScheme: 'dark'});
      const dark = await axe(page, colors);
      passed += light.passes.length + dark.passes.length;
      found.push(...findings(`${path} light`, light), ...findings(`${path} dark`, dark));
    }
    await page.close();
  }));
  return {passed, found};
}

/** axe runs these rules on a page, or all. */
const axe = (page, rules) => page.evaluate((runOnly) => window.axe.run(document, {resultTypes: ['violations'], iframes: false, ...(runOnly && {runOnly})}), rules);

const findings = (where, {violations}) => violations.flatMap((f) => f.nodes.map((n) =>
  `${where}: ${f.impact}: ${f.id}: ${f.help}: ${n.target.join(' ')}\n    ${n.html.slice(0, 160)}\n    ${(n.any[0] ?? n.all[0] ?? n.none[0])?.message ?? ''}`));

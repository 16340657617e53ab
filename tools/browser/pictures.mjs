// Pictures of pages, as they stand in docs/dashboard.
import {mkdir, writeFile} from 'node:fs/promises';

/** take makes a picture of each page, {name, path}: what a reader sees first. */
export async function take(v, {pages, folder, suffix}) {
  const {page, context} = v;
  await mkdir(folder, {recursive: true});
  const chrome = await context.newCDPSession(page);
  for (const {name, path} of pages) {
    await page.goto(path);
    await page.evaluate(() => document.fonts.ready);
    if (await page.locator('iframe').count()) await page.waitForTimeout(500); // a frame is painted after its page
    const {width, height} = page.viewportSize();
    const tall = await page.evaluate(() => document.documentElement.scrollHeight);
    const {data} = await chrome.send('Page.captureScreenshot', {format: 'webp', quality: 78, clip: {x: 0, y: 0, width, height: Math.min(height, tall), scale: 1}});
    await writeFile(`${folder}/${name}-${suffix}.webp`, Buffer.from(data, 'base64'));
  }
}

// What people come to the dashboard for, as they do it: by what they read on the page.
import {check, until} from './visit.mjs';

/** bounced: from the overview to why a mail did not arrive, by keys alone. */
export async function bounced({page}, {recipient, says}) {
  await page.goto('/');
  await page.keyboard.press('Tab');
  check(await page.evaluate(() => document.activeElement.textContent) === 'Skip to the page', 'the first Tab does not offer to skip the navigation');
  await walk(page, 'Messages');
  await page.waitForURL('**/ui/messages');
  await page.keyboard.press('/');
  await page.keyboard.type(recipient);
  await page.keyboard.press('Enter');
  await page.waitForURL(/q=/);
  await page.keyboard.press('j');
  await page.keyboard.press('Enter');
  await page.waitForURL('**/ui/messages/msg_*');
  const recipients = page.locator('.recipients');
  await recipients.getByText('bounced', {exact: true}).waitFor();
  check((await recipients.innerText()).includes(says), `the page does not say why: ${says}`);
  await walk(page, /^SMTP dialogue/, 'summary');
  const dialogue = page.locator('.dialogue[open]');
  await dialogue.getByText(`RCPT TO:<${recipient}>`).waitFor();
  await dialogue.getByText(says).waitFor();
}

/** walk goes to something by Tab, and presses Enter on it. */
async function walk(page, text, kind = 'a') {
  const matches = (t) => typeof text === 'string' ? t === text : text.test(t);
  for (let i = 0; i < 80; i++) {
    const at = await page.evaluate(() => ({kind: document.activeElement.localName, text: document.activeElement.innerText.trim()}));
    if (at.kind === kind && matches(at.text)) {
      await page.keyboard.press('Enter');
      return;
    }
    await page.keyboard.press('Tab');
  }
  throw new Error(`Tab never comes to ${text}`);
}

/** cancel: a mail that waits is found by its state, and stopped. */
export async function cancel(v, {subject}) {
  const {page} = v;
  await page.goto('/ui/messages');
  await page.getByRole('link', {name: 'scheduled', exact: true}).click();
  await page.getByRole('link', {name: subject}).click();
  await page.getByRole('button', {name: 'Cancel'}).click();
  await page.getByRole('status').getByText('Canceled.').waitFor();
  check(v.asked.length === 1, 'it was canceled without a question');
  await page.locator('.recipients').getByText('canceled', {exact: true}).waitFor();
  check(await page.getByRole('button', {name: 'Cancel'}).count() === 0, 'what is canceled can be canceled');
}

/** replay: an endpoint that failed is told again, and answers now. */
export async function replay({page}, {endpoint}) {
  await page.goto('/');
  await page.getByRole('navigation', {name: 'Pages'}).getByRole('link', {name: 'Webhooks'}).click();
  await page.getByRole('link', {name: endpoint}).click();
  await page.getByRole('link', {name: 'failed', exact: true}).click();
  await page.waitForURL(/status=failed/);
  await page.getByRole('table').getByRole('link', {name: /^message\./}).first().click();
  await page.getByText('answered 500').first().waitFor();
  await page.getByText('out of order').first().waitFor();
  await page.getByRole('button', {name: 'Replay'}).click();
  await page.getByRole('status').getByText('It is posted again.').waitFor();
  await until('Succeeded', () => page.locator('#status').getByText('succeeded').isVisible(), page);
  await page.getByText('answered 200').waitFor();
}

/** pause: a queue is paused and goes on. */
export async function pause({page}) {
  await page.goto('/ui/jobs');
  const row = page.getByRole('row', {name: /^default/});
  await row.getByRole('button', {name: 'Pause'}).click();
  await page.getByRole('status').getByText('Paused.').waitFor();
  await row.getByText('paused', {exact: true}).waitFor();
  await page.goto('/');
  await page.getByRole('link', {name: 'default', exact: true}).first().waitFor();
  await page.goto('/ui/jobs');
  await row.getByRole('button', {name: 'Resume'}).click();
  await page.getByRole('status').getByText('Resumed.').waitFor();
  check(await row.getByText('paused', {exact: true}).count() === 0, 'it is still paused');
}

/** key: one is made, its secret shown once and good for the API. */
export async function key({page, context}, {name, base}) {
  await page.goto('/ui/keys');
  await page.getByLabel('Name', {exact: true}).fill(name);
  await page.getByLabel(/^reading/).check();
  await page.getByRole('button', {name: 'Make the key'}).click();
  const secret = await page.locator('#secret').innerText();
  check(/^pr_(live|test)_\w{20,}$/.test(secret), 'there is no secret');
  // It says so for a moment only.
  await Promise.all([page.getByRole('button', {name: 'Copied'}).waitFor(), page.getByRole('button', {name: 'Copy'}).click()]);
  check(await page.evaluate(() => navigator.clipboard.readText()) === secret, 'something else was copied');
  const answer = await context.request.get(base + '/v1/messages', {headers: {Authorization: 'Bearer ' + secret}});
  check(answer.status() === 200, `the API answers ${answer.status()} to the new key`);
  await page.goto('/ui/keys');
  await page.getByRole('rowheader', {name}).waitFor();
  check(!(await page.content()).includes(secret), 'the secret is shown twice');
  const row = page.getByRole('row', {name});
  await row.getByRole('button', {name: 'Revoke'}).click();
  await page.getByRole('status').getByText('Revoked').waitFor();
  check(await row.count() === 0, 'it is still on the list');
}

/** send: a test mail is written on the page, and arrives in the inbox. */
export async function send({page}, {subject}) {
  await page.goto('/ui/send');
  await page.getByLabel('To', {exact: true}).fill('delivered@sandbox.test');
  await page.getByLabel('Subject', {exact: true}).fill(subject);
  await page.getByLabel('HTML', {exact: true}).fill('<h1 id="h">Good day</h1>');
  await page.getByRole('button', {name: 'Send', exact: true}).click();
  await page.getByRole('status').getByText('Taken.').waitFor();
  const caught = page.getByRole('link', {name: subject});
  await page.goto('/ui/inbox');
  await until('in the inbox', () => caught.isVisible(), page);
  await caught.click();
  await page.frameLocator('iframe').getByRole('heading', {name: 'Good day'}).waitFor();
  await page.getByText('Phone', {exact: true}).click();
  const box = await page.locator('iframe').boundingBox();
  check(box.width <= 378, `as on a phone it is ${box.width} wide`);
  await page.getByText('Headers', {exact: true}).click();
  await page.locator('.w-head').getByText('Subject', {exact: true}).waitFor();
}

/** twoTabs: a page of test mail stays one while another tab turns to live mail. */
export async function twoTabs({page, context}, {subject}) {
  await page.goto('/ui/send');
  await page.getByRole('button', {name: 'Test mail'}).click();
  await page.getByText('its last step is the sandbox').waitFor();
  const other = await context.newPage();
  await other.goto('/');
  await other.getByRole('button', {name: 'Live mail'}).click();
  await other.getByRole('button', {name: 'Live mail', pressed: true}).waitFor();
  await page.getByLabel('Subject', {exact: true}).fill(subject);
  await page.getByRole('button', {name: 'Send', exact: true}).click();
  await page.getByRole('status').getByText('Taken.').waitFor();
  const test = page.getByRole('button', {name: 'Test mail', pressed: true}), row = page.getByRole('link', {name: subject});
  await test.waitFor();
  await page.getByRole('link', {name: 'test-mail', exact: true}).click();
  await row.waitFor();
  for (const named of [true, false]) {
    if (!named) { // by the address: it was chosen when the page was loaded
      await page.getByRole('button', {name: 'Test mail'}).click();
      await page.waitForURL(/tag=test-mail$/);
      await other.getByRole('button', {name: 'Live mail'}).click();
      await other.getByRole('button', {name: 'Live mail', pressed: true}).waitFor();
    }
    const looked = await page.waitForResponse((r) => r.request().resourceType() === 'fetch');
    check(looked.url().includes('world=test'), `the page looks at ${looked.url()}`);
    await page.waitForTimeout(200);
    check(await row.isVisible() && await test.isVisible(), 'the page shows other mail than before');
  }
}

/** suppress: an address is put on the list, found and taken off. */
export async function suppress({page}, {address}) {
  await page.goto('/ui/suppressions');
  await page.locator('form[action="/ui/suppressions"]').getByLabel('Address', {exact: true}).last().fill(address);
  await page.getByRole('button', {name: 'Suppress', exact: true}).click();
  await page.getByRole('status').getByText('Suppressed').waitFor();
  await page.getByRole('searchbox').fill(address);
  await page.keyboard.press('Enter');
  await page.getByRole('row', {name: address}).getByRole('button', {name: 'Remove'}).click();
  await page.getByRole('status').getByText('Removed').waitFor();
  check(await page.getByRole('row', {name: address}).count() === 0, 'it is still on the list');
}

/** signedOut: a session ends while a page is open. It says so, and what was typed is saved
 * after signing in elsewhere. */
export async function signedOut(v, {name, password}) {
  const {page, context} = v;
  v.allow.push(/Failed to load resource.*401/, /^the console says: .*\/preview.*\)$/s, /violates the following Content Security Policy directive(?!.*'self')/s);
  const list = await context.newPage();
  await list.goto('/ui/messages');
  await page.goto('/ui/templates');
  await page.getByRole('listitem').getByRole('link').first().click();
  const subject = page.getByLabel('Subject', {exact: true});
  await page.getByText('not published', {exact: true}).or(page.getByText('published', {exact: true})).first().waitFor();
  await context.clearCookies({name: /session/});
  const typed = `Typed after ${Date.now()}`;
  await subject.fill(typed);
  await page.keyboard.press('Control+s');
  await page.locator('#state').getByText('You are signed out').waitFor();
  await list.getByText('Signed out').waitFor();
  const [other] = await Promise.all([context.waitForEvent('page'), page.locator('#state').getByRole('link', {name: 'Sign in'}).click()]);
  await other.getByLabel('Name').fill(name);
  await other.getByLabel('Password').fill(password);
  await other.keyboard.press('Enter');
  await other.getByRole('heading', {name: 'Overview'}).waitFor();
  await subject.press('Control+s');
  await page.getByRole('status').getByText('Saved').waitFor();
  check(await subject.inputValue() === typed, 'what was typed is lost');
}

/** publish: a template is begun with one that is made already, changed and published. */
export async function publish(v, {subject}) {
  const {page} = v;
  // The preview shows a mail as it is; what its frame's policy keeps out, it reports.
  v.allow.push(/^the console says: .*\/preview.*\)$/s, /violates the following Content Security Policy directive(?!.*'self')/s);
  await page.goto('/ui/templates');
  const another = page.getByText('Begin with one that is made already', {exact: true});
  if (await another.evaluate((e) => e.localName) === 'summary') await another.click();
  await page.getByRole('listitem').filter({has: page.getByRole('heading', {name: 'Receipt'})}).getByRole('button', {name: 'Use it'}).click();
  await page.getByText('not published', {exact: true}).first().waitFor();
  await page.getByLabel('Subject', {exact: true}).fill(subject);
  await page.locator('#made').getByText(subject).waitFor(); // the preview follows while one writes
  await page.getByRole('button', {name: 'Save the draft'}).click();
  await page.getByRole('link', {name: 'Review and publish'}).click();
  await page.getByText(subject).first().waitFor();
  await page.getByRole('button', {name: /^Publish version/}).click();
  await page.getByText('published', {exact: true}).first().waitFor();
  check(await page.getByText('not published', {exact: true}).count() === 0, 'there is a draft left');
}

// Coming in and going out.
import {check} from './visit.mjs';

/** first: the link of the log makes the administrator, once. Gives the session. */
export async function first({page, context}, {link, name, password}) {
  await page.goto('/ui/messages');
  check(page.url().includes('/ui/sign-in'), 'a page is shown to somebody who is not signed in');
  await page.goto(link);
  await page.getByLabel(/^Your name/).fill(name);
  await page.getByLabel('New password', {exact: true}).fill(password);
  await page.getByLabel('The same again').fill(password);
  await page.keyboard.press('Enter');
  await page.getByRole('heading', {name: 'Overview'}).waitFor();
  return context.storageState();
}

/** twice: the link is good for nothing any more. */
export async function twice(v, {link}) {
  v.allow.push(/Failed to load resource.*(404|410)/);
  const answer = await v.page.goto(link);
  check(answer.status() >= 400, `it answers ${answer.status()}`);
  check(await v.page.getByLabel('New password', {exact: true}).count() === 0, 'it offers a password again');
}

/** password: signs in, first with a wrong password, and out, and in again. Gives the session. */
export async function password(v, {name, password}) {
  const {page, context} = v;
  v.allow.push(/Failed to load resource.*(401|422)/);
  await page.goto('/ui/jobs');
  await page.getByLabel('Name').fill(name);
  await page.getByLabel('Password').fill('not this one at all');
  await page.keyboard.press('Enter');
  await page.getByRole('alert').waitFor();
  check(await page.getByLabel('Name').inputValue() === name, 'the name is to be typed again');
  await page.getByLabel('Password').fill(password);
  await page.keyboard.press('Enter');
  await page.getByRole('heading', {name: 'Jobs'}).waitFor();
  const [cookie] = (await context.cookies()).filter((c) => c.name.endsWith('postrider_session'));
  check(cookie.httpOnly && cookie.sameSite === 'Strict', 'the cookie is open to scripts or other sites');
  await page.getByRole('button', {name: 'Sign out'}).click();
  await page.getByRole('heading', {name: 'Sign in'}).waitFor();
  // The session is over, not only its cookie.
  await context.addCookies([cookie]);
  await page.goto('/ui/jobs');
  await page.getByRole('heading', {name: 'Sign in'}).waitFor();
  await page.getByLabel('Name').fill(name);
  await page.getByLabel('Password').fill(password);
  await page.getByRole('button', {name: 'Sign in'}).click();
  await page.getByRole('heading', {name: 'Jobs'}).waitFor();
  return context.storageState();
}

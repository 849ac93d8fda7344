// Works the page as a user would, in headless Chromium, for the test and screenshots.
//
//   node drive.mjs CHROMIUM
//
// Reads one JSON command per line and answers each with one line: {"result"} or
// {"error"}. The commands are the functions below.

import { createInterface } from "node:readline";
import puppeteer from "puppeteer-core";

const browser = await puppeteer.launch({
  executablePath: process.argv[2],
  args: [
    "--headless=new",
    "--no-sandbox", // containers have no user namespaces, and their user is root
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    // Whatever the page wants of another host fails.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
  ],
});
const page = await browser.newPage();
const faults = [];
page.on("pageerror", (error) => faults.push(String(error?.message ?? error)));

const message = () =>
  page.$eval("#message", (line) => ({
    text: line.textContent,
    fault: line.classList.contains("fault"),
  }));

/** Waits until the page is done with what it was given. */
async function settled() {
  await page.waitForFunction(
    () => !document.getElementById("message").textContent.endsWith("…"),
    { polling: 50, timeout: 60000 },
  );
  return message();
}

const commands = {
  async open({ url }) {
    await page.goto(url);
    await page.waitForFunction(() => window.qepose);
    await page.evaluate(() => {
      window.events = [];
      window.addEventListener("qepose", ({ detail }) => window.events.push(detail));
    });
    return settled();
  },

  /** Chooses a file as `id`, "model" or "picture". */
  async choose({ id, file }) {
    await page.evaluate(() => (window.events.length = 0));
    const input = await page.$(`#${id}`);
    await input.uploadFile(file);
    return { ...(await settled()), found: await page.evaluate(() => window.events.at(-1)) };
  },

  async click({ selector }) {
    await page.click(selector);
  },

  /** The value of an expression, a promise's once it is settled. */
  evaluate: ({ script }) => page.evaluate(script),

  async wait({ script }) {
    await page.waitForFunction(script, { polling: 50, timeout: 30000 });
  },

  async screenshot({ file, width = 1200, height = 800, scheme = "light" }) {
    await page.setViewport({ width, height });
    await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
    await page.screenshot({ path: file });
  },

  /** Errors that the page did not catch. */
  faults: async () => faults,
};

for await (const line of createInterface({ input: process.stdin })) {
  const { command, ...given } = JSON.parse(line);
  try {
    const result = (await commands[command](given)) ?? null;
    console.log(JSON.stringify({ result }));
  } catch (error) {
    console.log(JSON.stringify({ error: error.message }));
  }
}
await browser.close();

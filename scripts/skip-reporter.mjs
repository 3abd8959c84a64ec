// A reporter of node:test that names each skipped test with its reason, so that none goes by unseen.
export default async function* skipReporter(source) {
  const skipped = [];
  for await (const event of source) {
    if ((event.type === 'test:pass' || event.type === 'test:fail') && event.data.skip !== undefined) {
      skipped.push(
        `${event.data.file ?? ''}: ${event.data.name}: ${event.data.skip === true ? 'no reason given' : event.data.skip}`,
      );
    }
  }
  yield JSON.stringify(skipped);
}

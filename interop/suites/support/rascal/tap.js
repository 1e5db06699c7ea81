// Runs the suite's tests as its own command does, but reports them as TAP; its command cannot.
const path = require('path');
const { Harness, Suite, TapReporter, syntax } = require('zunit');

Object.assign(global, syntax);

new Suite('rascal')
  .discover({ directory: path.resolve('test'), pattern: /^[\w-]+.tests.js$/ })
  .then((suite) => new Harness(suite).run(new TapReporter()))
  .then((report) => process.exit(report.failed || report.incomplete ? 1 : 0));

// A stream of random bytes without an end; the package that the tests use is in no registry.
const { randomBytes } = require('crypto');
const { Readable } = require('stream');

exports.createRandomStream = () =>
  new Readable({
    read(size) {
      this.push(randomBytes(size));
    },
  });

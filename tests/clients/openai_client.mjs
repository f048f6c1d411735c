// What the checks with OpenAI's own client for Node.js have in common.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';

// From the working folder, where the test has it.
const require = createRequire(process.cwd() + '/');
const { OpenAI } = require('openai');

export const base = `http://127.0.0.1:${process.env.OPENAI_PORT}`;

export const clientOf = (apiKey, options = {}) =>
  new OpenAI({ baseURL: `${base}/v1`, apiKey, ...options });

// What was asked for must end in an error of OpenAI's shape.
export const refused = async (promise, status, code, parameter = null) => {
  await assert.rejects(promise, (error) => {
    assert.equal(error.status, status, error.message);
    assert.equal(error.code, code, error.message);
    if (parameter) assert.equal(error.param, parameter);
    return true;
  });
};

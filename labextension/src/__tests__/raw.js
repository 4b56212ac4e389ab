// SVG files are imported as their text.
module.exports = {
  process: text => ({ code: `module.exports = ${JSON.stringify(text)};` })
};

// JupyterLab's packages use these features of a browser, which jsdom lacks.
if (globalThis.MouseEvent) {
  globalThis.DragEvent ??= class DragEvent extends MouseEvent {};
}
globalThis.IS_REACT_ACT_ENVIRONMENT = true;
globalThis.matchMedia ??= () => ({
  matches: false,
  addEventListener() {},
  removeEventListener() {}
});
globalThis.requestIdleCallback ??= callback => setTimeout(callback, 0);

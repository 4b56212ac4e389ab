// JupyterLab's packages expect these of a browser; jsdom has them not.
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

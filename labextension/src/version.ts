import data from '../package.json';

/** Version of this bundle. */
export const VERSION: string = data.version;

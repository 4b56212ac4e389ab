import { LINK, linkTo, readLink } from '../links';

describe('links', () => {
  it.each([
    ['run', '0123abcd'],
    ['model', 'größe & more = 1'],
    ['endpoint', 'flights/eu'],
    ['pipeline', 'a?b#c']
  ] as const)('name a %s and are read again', (noun, id) => {
    const address = new URL(linkTo('http://host:1/user/ann/', noun, id));
    expect(address.pathname).toBe('/user/ann/lab');
    expect(address.search).toMatch(LINK);
    expect(readLink(address.search)).toEqual({ noun, id, rest: '' });
  });

  it('keep the rest of an address', () => {
    expect(readLink('?reset&mlops-run=12&x=%20')).toEqual({
      noun: 'run',
      id: '12',
      rest: '?reset=&x=+'
    });
  });

  it.each(['', '?', '?mlops-run=', '?mlops-secret=1', '?run=1'])('are not in %p', search => {
    expect(search).not.toMatch(LINK);
    expect(readLink(search)).toBeNull();
  });
});

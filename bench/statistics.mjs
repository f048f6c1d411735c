// Of a list of numbers; undefined where it is empty.
export const percentile = (list, share) => [...list].sort((a, b) => a - b)[Math.round(share * (list.length - 1))];
export const median = (list) => percentile(list, 0.5);

// exp, log and their kin from + - * / alone, which are the same to the last bit in every browser. Math.exp is not, and
// a dream magnifies every difference: the same address would show two people two dreams.
//
// Good to 12 digits, five more than the single precision that everything is stored in.

"use strict";

const LN2 = 0.6931471805599453;
const LN2_HIGH = 0.693147180369123816490, LN2_LOW = 1.90821492927058770002e-10; // their sum is LN2, with 32 bits more

// 2^k for k = -1022 ... 1023, at k + 1022.
const POWERS = new Float64Array(2046);
POWERS[1022] = 1;
for (let k = 1; k <= 1023; k++) POWERS[1022 + k] = 2 * POWERS[1021 + k];
for (let k = 1; k <= 1022; k++) POWERS[1022 - k] = POWERS[1023 - k] / 2;

// exp(x) = 2^k exp(r) with |r| <= ln(2) / 2, and exp(r) by its series.
function exp(x) {
  if (!(x > -708)) return x <= -708 ? 0 : NaN;
  if (x > 709) return Infinity;
  const k = Math.round(x / LN2), r = x - k * LN2_HIGH - k * LN2_LOW;
  const series = 1 + r * (1 + r * (1 / 2 + r * (1 / 6 + r * (1 / 24 + r * (1 / 120 + r * (1 / 720 + r * (1 / 5040
    + r * (1 / 40320 + r * (1 / 362880 + r * (1 / 3628800 + r / 39916800))))))))));
  return series * POWERS[k + 1022];
}

// log(2^k m) = k log(2) + log(m), and log(m) = 2 artanh((m - 1) / (m + 1)) for m around 1. For x > 0.
function log(x) {
  let k = 0;
  while (x < 0.7071067811865476) { x *= 2; k -= 1; }
  while (x > 1.4142135623730951) { x /= 2; k += 1; }
  const s = (x - 1) / (x + 1), q = s * s;
  const series = 1 + q * (1 / 3 + q * (1 / 5 + q * (1 / 7 + q * (1 / 9 + q * (1 / 11 + q * (1 / 13 + q / 15))))));
  return k * LN2 + 2 * s * series;
}

function tanh(x) {
  if (x < 0) return -tanh(-x);
  if (x < 1e-4) return x - (x * x * x) / 3; // the difference below would have no digits left
  return 1 - 2 / (exp(2 * x) + 1);
}

const sigmoid = (x) => 1 / (1 + exp(-x));

// The cosine of so many full turns, turns >= 0: of the nearest quarter turn and the angle that is left.
function cosineOfTurns(turns) {
  const quarter = Math.round(turns * 4), a = (turns - quarter / 4) * 6.283185307179586, q = a * a;
  const sine = a * (1 - (q / 6) * (1 - (q / 20) * (1 - (q / 42) * (1 - (q / 72) * (1 - (q / 110) * (1 - q / 156))))));
  const cosine = 1 - (q / 2) * (1 - (q / 12) * (1 - (q / 30) * (1 - (q / 56) * (1 - (q / 90) * (1 - (q / 132)
    * (1 - q / 182))))));
  return [cosine, -sine, -cosine, sine][quarter % 4];
}

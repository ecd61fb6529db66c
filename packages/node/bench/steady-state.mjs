/**
 * Lets some work that goes on by itself warm up, until V8 has compiled what is hot, and measures it then: how many a second, and
 * the CPU of the whole process for each in microseconds. `countOf` gives how many were done so far.
 */
export async function steadyState(countOf, { warmUpMs, seconds }) {
  await new Promise((resolve) => setTimeout(resolve, warmUpMs));
  const [before, cpu, beganAt] = [countOf(), process.cpuUsage(), performance.now()];
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  const { user, system } = process.cpuUsage(cpu);
  const count = countOf() - before;
  const elapsedMs = performance.now() - beganAt;
  return { perSecond: Math.round(count / (elapsedMs / 1000)), cpuMicroseconds: (user + system) / count };
}

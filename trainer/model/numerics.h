// The environment in which floating-point results of this project are defined (numerics class CPU_AVX2). The executor
// sets it for its stages; a program that is started by hand sets it for itself.
#ifndef MILLRACE_TRAINER_MODEL_NUMERICS_H_
#define MILLRACE_TRAINER_MODEL_NUMERICS_H_

namespace millrace::trainer {

// First in main(): sets those of MKL_CBWR=AVX2,STRICT, ATEN_CPU_CAPABILITY=avx2 and ONEDNN_MAX_CPU_ISA=AVX2 that the
// environment does not have, and starts the program again (LibTorch may read them while it is loaded). Returns where all
// are there. OMP_WAIT_POLICY=passive changes no bit: threads that wait for others leave the processor to whoever needs
// it, which on a busy machine is several times faster.
void EnsureNumericsEnvironment(char** argv);

}  // namespace millrace::trainer

#endif  // MILLRACE_TRAINER_MODEL_NUMERICS_H_

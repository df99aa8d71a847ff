// GPUs that releases are compiled for, as CMake writes them: machine code (sm_80 runs on 86 and 89 too), and PTX for what
// comes between and after.
export const RELEASE_ARCHITECTURES = ['75-real', '80-real', '90a-real', '100-real', '120-real', '90-virtual'];

# Sources of the emulated CUDA backend (cuda/platform.h). The language of a .cu file cannot be set to C++ for one target
# alone, so each is included by a generated file.
file(GLOB INSTASEG_KERNEL_FILES CONFIGURE_DEPENDS native/cuda/*.cu)
file(GLOB INSTASEG_EMULATED_SOURCES CONFIGURE_DEPENDS native/cuda/*.cpp native/cuda/emulation/*.cpp)

# The emulator itself runs without checks; see sanitizer.h.
file(GLOB INSTASEG_EMULATOR_FILES CONFIGURE_DEPENDS native/cuda/emulation/*.cpp)
set(INSTASEG_EMULATOR_OPTIONS -O3)
if(INSTASEG_SANITIZE)
  list(APPEND INSTASEG_EMULATOR_OPTIONS -fno-sanitize=all)
  add_compile_definitions(INSTASEG_ASAN)
endif()
set_source_files_properties(${INSTASEG_EMULATOR_FILES} PROPERTIES COMPILE_OPTIONS "${INSTASEG_EMULATOR_OPTIONS}")

# emulated_sources(<variable> <file.cu>...): the generated files.
function(emulated_sources variable)
  set(generated)
  foreach(file IN LISTS ARGN)
    get_filename_component(stem ${file} NAME_WE)
    set(source ${CMAKE_CURRENT_BINARY_DIR}/emulated/emu_${stem}.cpp)
    file(CONFIGURE OUTPUT ${source} CONTENT "#include \"${file}\"\n" @ONLY)
    list(APPEND generated ${source})
  endforeach()
  # CUDA's pragmas (unroll) mean nothing here.
  set_source_files_properties(${generated} PROPERTIES COMPILE_OPTIONS
    "-Wno-unknown-pragmas;-fmacro-prefix-map=${CMAKE_CURRENT_SOURCE_DIR}/=")
  set(${variable} ${generated} PARENT_SCOPE)
endfunction()

emulated_sources(INSTASEG_EMULATED_KERNELS ${INSTASEG_KERNEL_FILES})
list(APPEND INSTASEG_EMULATED_SOURCES ${INSTASEG_EMULATED_KERNELS})

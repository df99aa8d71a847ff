/** Every error that instaseg throws or rejects with carries one of these stable codes. */
export type ErrorCode =
  | 'ERR_ARGUMENT'
  | 'ERR_SHAPE'
  | 'ERR_DTYPE'
  | 'ERR_UNSUPPORTED'
  | 'ERR_WEIGHTS'
  | 'ERR_CHECKPOINT'
  | 'ERR_CHECKPOINT_UNSAFE'
  | 'ERR_DEVICE_UNAVAILABLE'
  | 'ERR_OUT_OF_MEMORY'
  | 'ERR_GPU_OOM'
  | 'ERR_CUDA_FATAL'
  | 'ERR_OVERLOADED'
  | 'ERR_ABORTED'
  | 'ERR_DISPOSED'
  | 'ERR_IMAGE'
  | 'ERR_FILE'
  | 'ERR_DOWNLOAD'
  | 'ERR_ADDON'
  | 'ERR_WRONG_RESULT'
  | 'ERR_INTERNAL';

/**
 * The one error class of the package. `code` is stable across versions and is what programs should test; the message
 * is for people and says what was expected, what was received and, where there is one, the fix.
 */
export class InstasegError extends Error {
  override readonly name = 'InstasegError';
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

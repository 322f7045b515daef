import { serve } from '../../server/main'

/** The server as it stands in the source, without a build. */
void serve([])

from veloflux.edge.pure import Direct as Direct
from veloflux.edge.pure import accept as accept
from veloflux.edge.pure import dispatch as dispatch
